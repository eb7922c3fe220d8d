import { SYMMETRIES } from "../data/symmetries.ts";
import { applySymmetry } from "../images/augment/apply_symmetry.ts";
import type { FeaturePredictor } from "./predictor.ts";

/**
 * A predictor whose probabilities are the means over the eight turned and mirrored copies of each
 * image: a crop has no up and down, so neither should an answer. It takes eight times as long.
 *
 * The mean is that of the probabilities, as the softmax outputs of changed copies are averaged since
 * Krizhevsky, Sutskever & Hinton (2012): by convexity its log loss and Brier score are never above the means of
 * the copies' own. Answers become less extreme by it, so calibration and threshold must be chosen
 * with it too.
 *
 * Features are those of the image as it is: means of eight would lie closer together than the ones
 * that they are compared with.
 *
 * @param predictor Does the work, and is disposed with the result.
 * @param size Side of the images, in pixels.
 */
export function averageSymmetries(predictor: FeaturePredictor, size: number): FeaturePredictor {
  /** Adds to the probabilities of the images as they are those of the others, and divides. */
  const average = async (pixels: Uint8Array, first: Float32Array): Promise<Float32Array> => {
    const sums = Float64Array.from(first);
    for (let symmetry = 1; symmetry < SYMMETRIES.length; symmetry++) {
      const values = await predictor.predict(turned(pixels, size, symmetry));
      values.forEach((value, i) => sums[i]! += value);
    }
    return Float32Array.from(sums, (sum) => sum / SYMMETRIES.length);
  };
  return {
    predict: async (pixels) => await average(pixels, await predictor.predict(pixels)),
    predictWithFeatures: async (pixels) => {
      const { probabilities, features } = await predictor.predictWithFeatures(pixels);
      return { probabilities: await average(pixels, probabilities), features };
    },
    dispose: predictor.dispose,
  };
}

/** Every image of a batch [n, size, size, 3] turned or mirrored alike. */
function turned(pixels: Uint8Array, size: number, symmetry: number): Uint8Array {
  const length = size * size * 3;
  const result = new Uint8Array(pixels.length);
  for (let start = 0; start < pixels.length; start += length) {
    result.set(applySymmetry(pixels.subarray(start, start + length), size, symmetry), start);
  }
  return result;
}
