import type { Config } from "../config.ts";
import { WeightsMissingError } from "../errors.ts";
import { batches } from "../images/batches.ts";
import { tf } from "../setup/tensorflow.ts";
import { backbones } from "./backbone.ts";
import { estimateMoments } from "./estimate_moments.ts";
import { weightSpecs } from "./graph.ts";
import { createModel, disposeModel, inputShape, type Model } from "./model.ts";
import type { ModelCard } from "./model_card.ts";
import { preprocess } from "./preprocess.ts";

/** Images whose statistics a random start takes; one batch of 64 settles means to a few percent. */
const MOMENT_IMAGES = 64;

/** Where a model's first weights came from, as its card tells it. */
export type StartingWeights = ModelCard["startingWeights"];

/**
 * A model as training starts from it: the backbone's ImageNet weights where they are to be had,
 * else a seeded random start; the head is always random.
 *
 * @param config `model` and `seed` decide.
 * @param trainingImages Absolute paths; a random start estimates BatchNorm statistics from the
 * first of them.
 * @param options.fallBackToRandom Go on without ImageNet weights where their file is missing. For
 * the sample set only: on real data that would quietly give a much worse model.
 * @returns The model, which the caller disposes, and where its weights came from.
 * @throws {ModelError} When ImageNet weights are asked for and are missing or unusable.
 */
export async function startingModel(
  config: Pick<Config, "model" | "seed" | "data">,
  trainingImages: readonly string[],
  options: { fallBackToRandom: boolean },
): Promise<{ model: Model; startingWeights: StartingWeights }> {
  const { backbone, imageSize, weights } = config.model;
  const model = createModel({ backbone, imageSize, classes: config.data.classes }, config.seed);
  if (weights === "imagenet") {
    try {
      const { title } = backbones[backbone].imagenet;
      const sha256 = await loadImagenet(model);
      return { model, startingWeights: { kind: "imagenet", note: title, sha256 } };
    } catch (error) {
      if (!(error instanceof WeightsMissingError && options.fallBackToRandom)) {
        disposeModel(model);
        throw error;
      }
    }
  }
  await estimateFromImages(model, config, trainingImages);
  const note = weights === "random"
    ? "seeded random weights, as asked for; BatchNorm statistics from training images"
    : "seeded random weights, because the ImageNet file is not there; BatchNorm statistics from " +
      "training images. Expect a much worse model than with ImageNet weights";
  return { model, startingWeights: { kind: "random", note, sha256: null } };
}

/** Puts the ImageNet weights into the backbone's layers; returns the SHA-256 of their source. */
async function loadImagenet(model: Model): Promise<string> {
  const { graph, imagenet } = backbones[model.architecture.backbone];
  const specs = weightSpecs(graph(), inputShape(model.architecture));
  const { values, sha256 } = await imagenet.load(specs);
  for (const { name, shape } of specs) {
    model.weights.get(name)?.dispose();
    model.weights.set(name, tf.tensor(values.get(name)!, shape));
  }
  return sha256;
}

async function estimateFromImages(
  model: Model,
  { data }: Pick<Config, "data">,
  paths: readonly string[],
): Promise<void> {
  const { imageSize, backbone } = model.architecture;
  const items = paths.slice(0, MOMENT_IMAGES).map((path) => ({ path, label: 0 }));
  const options = { batchSize: MOMENT_IMAGES, size: imageSize, maxMegapixels: data.maxMegapixels };
  for await (const { pixels } of batches(items, options)) {
    const images = preprocess(pixels, imageSize, backbones[backbone].preprocessing);
    estimateMoments(model, images);
    images.dispose();
  }
}
