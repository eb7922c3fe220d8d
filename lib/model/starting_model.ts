import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Config } from "../config.ts";
import { ModelError } from "../errors.ts";
import { exists } from "../files.ts";
import { batches } from "../images/batches.ts";
import { projectRoot } from "../paths.ts";
import { tf } from "../setup/tensorflow.ts";
import { backbones } from "./backbone.ts";
import { estimateMoments } from "./estimate_moments.ts";
import { weightSpecs } from "./graph.ts";
import { readKerasH5 } from "./keras_h5.ts";
import { createModel, inputShape, type Model } from "./model.ts";
import type { ModelCard } from "./model_card.ts";
import { preprocess } from "./preprocess.ts";

/** Images whose statistics a random start takes; one batch of 64 settles means to a few percent. */
const MOMENT_IMAGES = 64;

/** Where a model's first weights came from, as its card tells it. */
export type StartingWeights = ModelCard["startingWeights"];

/** Folder of the ImageNet weights that a person or a download put there. */
export const pretrainedFolder: string = join(projectRoot, "model", "pretrained");

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
 * @throws {ModelError} When ImageNet weights are asked for and their file is missing or unusable.
 */
export async function startingModel(
  config: Pick<Config, "model" | "seed" | "data">,
  trainingImages: readonly string[],
  options: { fallBackToRandom: boolean },
): Promise<{ model: Model; startingWeights: StartingWeights }> {
  const { backbone, imageSize, weights } = config.model;
  const model = createModel({ backbone, imageSize, classes: config.data.classes }, config.seed);
  if (weights === "imagenet") {
    const { file, md5, title } = backbones[backbone].imagenet;
    const path = join(pretrainedFolder, file);
    if (await exists(path)) {
      const sha256 = await loadImagenet(model, path, md5);
      return { model, startingWeights: { kind: "imagenet", note: title, sha256 } };
    }
    if (!options.fallBackToRandom) {
      throw new ModelError(
        `The ImageNet weights of ${backbones[backbone].title} are not there: ${path}`,
        `Put ${file} (MD5 ${md5}; ${title}) into ${pretrainedFolder} and run again. To start from ` +
          `random weights instead, which needs far more images for a far worse model, set ` +
          `model.weights to "random".`,
      );
    }
  }
  await estimateFromImages(model, config, trainingImages);
  const note = weights === "random"
    ? "seeded random weights, as asked for; BatchNorm statistics from training images"
    : "seeded random weights, because the ImageNet file is not there; BatchNorm statistics from " +
      "training images. Expect a much worse model than with ImageNet weights";
  return { model, startingWeights: { kind: "random", note, sha256: null } };
}

/** Loads the backbone's layers from its official file; returns the file's SHA-256. */
async function loadImagenet(model: Model, path: string, md5: string): Promise<string> {
  const bytes = await Deno.readFile(path);
  if (createHash("md5").update(bytes).digest("hex") !== md5) {
    throw new ModelError(
      `${path} is not the official file: its MD5 is not ${md5}.`,
      "Delete it and get it again.",
    );
  }
  const specs = weightSpecs(
    backbones[model.architecture.backbone].graph(),
    inputShape(model.architecture),
  );
  const values = await readKerasH5(path, specs);
  for (const { name, shape } of specs) {
    model.weights.get(name)?.dispose();
    model.weights.set(name, tf.tensor(values.get(name)!, shape));
  }
  return createHash("sha256").update(bytes).digest("hex");
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
