import { tf } from "../setup/tensorflow.ts";
import { backbones } from "./backbone.ts";
import { foldBatchNorms } from "./fold.ts";
import { forward } from "./forward.ts";
import { OUTPUT_LAYER } from "./head.ts";
import { INPUT_LAYER, type Model } from "./model.ts";
import { preprocess, type Preprocessing } from "./preprocess.ts";

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

/**
 * Folds a model's BatchNorms once and predicts with the result.
 *
 * @param preprocessing From the model's card where it was loaded; else its backbone's own.
 */
export function createPredictor(
  model: Model,
  preprocessing: Preprocessing = backbones[model.architecture.backbone].preprocessing,
): Predictor {
  const folded = foldBatchNorms(model.graph, model.weights);
  return {
    predict: async (pixels) => {
      const probabilities = tf.tidy(() => {
        const images = preprocess(pixels, model.architecture.imageSize, preprocessing);
        const inputs = new Map([[INPUT_LAYER, images]]);
        return forward(folded.graph, folded.weights, inputs, [OUTPUT_LAYER])[0]!; // [n, classes]
      });
      const values = await probabilities.data() as Float32Array;
      probabilities.dispose();
      return values;
    },
    dispose: folded.dispose,
  };
}
