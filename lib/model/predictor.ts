import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { backbones } from "./backbone.ts";
import { foldBatchNorms } from "./fold.ts";
import { forward } from "./forward.ts";
import { FEATURE_LAYER, OUTPUT_LAYER } from "./head.ts";
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
 */
export function createPredictor(
  model: Model,
  preprocessing: Preprocessing = backbones[model.architecture.backbone].preprocessing,
): FeaturePredictor {
  const folded = foldBatchNorms(model.graph, model.weights);
  const run = (pixels: Uint8Array, outputs: string[]): Promise<Float32Array[]> =>
    read(tf.tidy(() => {
      const images = preprocess(pixels, model.architecture.imageSize, preprocessing);
      return forward(folded.graph, folded.weights, new Map([[INPUT_LAYER, images]]), outputs);
    }));
  return {
    predict: async (pixels) => (await run(pixels, [OUTPUT_LAYER]))[0]!,
    predictWithFeatures: async (pixels) => {
      const [probabilities, features] = await run(pixels, [OUTPUT_LAYER, FEATURE_LAYER]);
      return { probabilities: probabilities!, features: features! };
    },
    dispose: folded.dispose,
  };
}

/** The values of tensors, which are freed. */
async function read(tensors: readonly TensorFlow.Tensor[]): Promise<Float32Array[]> {
  try {
    return await Promise.all(tensors.map((tensor) => tensor.data() as Promise<Float32Array>));
  } finally {
    tf.dispose([...tensors]);
  }
}
