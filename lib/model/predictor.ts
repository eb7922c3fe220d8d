import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { backbones } from "./backbone.ts";
import { foldBatchNorms } from "./fold.ts";
import { forward } from "./forward.ts";
import { FEATURE_LAYER, OUTPUT_LAYER } from "./head.ts";
import { imagesAtOnce } from "./images_at_once.ts";
import { INPUT_LAYER, type Model } from "./model.ts";
import { preprocess, type Preprocessing } from "./preprocess.ts";

/** Images that a processor predicts at once: 32 need 400 MB more, for 5 to 7 % less time. */
const AT_ONCE = 8;

/** A model made ready for prediction. */
export interface Predictor {
  /**
   * Class probabilities of a batch of RGB pixels [n, size, size, 3].
   *
   * @returns Row-major [n, classes]; each row sums to 1.
   */
  predict(pixels: Uint8Array): Promise<Float32Array>;
  /** Frees what was made for prediction; the model itself stays. */
  dispose(): void;
}

/** A model's answers with what they were made from. */
export interface PredictionWithFeatures {
  /** Row-major [n, classes]. */
  probabilities: Float32Array;
  /** The backbone's last feature map, averaged over its places: row-major [n, channels]. */
  features: Float32Array;
}

/** A {@linkcode Predictor} that gives the features behind its answers too, from the same pass. */
export interface FeaturePredictor extends Predictor {
  /** As `predict`, with the features. */
  predictWithFeatures(pixels: Uint8Array): Promise<PredictionWithFeatures>;
}

/**
 * Folds a model's BatchNorms once and predicts with the result.
 *
 * @param preprocessing From the model's card where it was loaded; else its backbone's own.
 * @param options.consume Frees the model's weights that folding replaces, which halves the memory:
 *   the model is then good for nothing but to be disposed.
 */
export function createPredictor(
  model: Model,
  preprocessing: Preprocessing = backbones[model.architecture.backbone].preprocessing,
  { consume = false }: { consume?: boolean } = {},
): FeaturePredictor {
  const free = (names: string[]) => {
    for (const name of names) {
      model.weights.get(name)?.dispose();
      model.weights.delete(name);
    }
  };
  const folded = foldBatchNorms(model.graph, model.weights, consume ? free : undefined);
  const { imageSize } = model.architecture;
  const atOnce = imagesAtOnce(AT_ONCE) * imageSize ** 2 * 3;
  const run = async (pixels: Uint8Array, outputs: string[]): Promise<Float32Array[]> => {
    const parts: Float32Array[][] = outputs.map(() => []);
    for (let start = 0; start < pixels.length; start += atOnce) {
      const tensors = tf.tidy(() => {
        const images = preprocess(pixels.subarray(start, start + atOnce), imageSize, preprocessing);
        return forward(folded.graph, folded.weights, new Map([[INPUT_LAYER, images]]), outputs);
      });
      (await read(tensors)).forEach((values, i) => parts[i]!.push(values));
    }
    return parts.map(join);
  };
  return {
    predict: async (pixels) => (await run(pixels, [OUTPUT_LAYER]))[0]!,
    predictWithFeatures: async (pixels) => {
      const [probabilities, features] = await run(pixels, [OUTPUT_LAYER, FEATURE_LAYER]);
      return { probabilities: probabilities!, features: features! };
    },
    dispose: folded.dispose,
  };
}

function join(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The values of tensors, which are freed. */
async function read(tensors: readonly TensorFlow.Tensor[]): Promise<Float32Array[]> {
  try {
    return await Promise.all(tensors.map((tensor) => tensor.data() as Promise<Float32Array>));
  } finally {
    tf.dispose([...tensors]);
  }
}
