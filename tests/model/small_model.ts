import { tf } from "../../lib/core/tensorflow.ts";
import { preprocess } from "../../lib/model/forward.ts";
import {
  type Architecture,
  backbones,
  createModel,
  estimateMoments,
  type Model,
} from "../../lib/model/model.ts";
import { disturbBatchNorms, someImages } from "./ask_keras.ts";

/** A random model whose activations stay finite and whose moving statistics are not trivial. */
export function disturbedModel(architecture: Architecture, seed: number): Model {
  const { backbone, imageSize: size } = architecture;
  const model = createModel(architecture, seed);
  const images = preprocess(someImages(32, size, 9), size, backbones[backbone].preprocessing);
  estimateMoments(model, images);
  images.dispose();
  disturbBatchNorms(model);
  return model;
}

/** Side of the small model's input: the least that there is. */
export const SMALL = 32;

/**
 * A random model that is quick to save, and that gives each image another probability, of either
 * class.
 */
export function smallModel(
  classes: [string, string] = ["negative", "positive"],
  backbone: Architecture["backbone"] = "efficientnet_lite0",
  change: Partial<Architecture> = {},
): Model {
  const model = disturbedModel({ backbone, imageSize: SMALL, classes, ...change }, 5);
  const bias = model.weights.get("predictions/bias")!;
  model.weights.set("predictions/bias", tf.tensor([0, 0.6]));
  bias.dispose();
  return model;
}
