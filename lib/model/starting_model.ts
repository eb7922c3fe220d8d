import type { Config } from "../config_schema.ts";
import { WeightsMissingError } from "../errors.ts";
import { batches } from "../images/batches.ts";
import type { DecodeOptions } from "../images/decode.ts";
import type { OnProgress } from "../progress.ts";
import { backbones, type ImagenetWeights } from "./backbone.ts";
import { estimateMoments } from "./estimate_moments.ts";
import { weightSpecs } from "./graph.ts";
import { isHeadLayer } from "./head.ts";
import { loadWeights, replaceWeights } from "./load_weights.ts";
import { type Architecture, createModel, disposeModel, inputShape, type Model } from "./model.ts";
import type { ModelCard } from "./model_card.ts";
import { preprocess } from "./preprocess.ts";

/** Images whose statistics a random start takes; one batch of 64 settles means to a few percent. */
const MOMENT_IMAGES = 64;

/** Its ImageNet weights come with the installation: the way out where nothing can be fetched. */
const ALWAYS_THERE: Architecture["backbone"] = "efficientnet_lite0";

/** Where a model's first weights came from, as its card tells it. */
export type StartingWeights = ModelCard["startingWeights"];

/** A model as training starts from it. */
export interface StartingModel {
  /** Its architecture is the one in force: the backbone may be another than the config's. */
  model: Model;
  startingWeights: StartingWeights;
}

/** How {@linkcode startingModel} finds its weights. */
export interface StartingOptions {
  /**
   * Go on where ImageNet weights cannot be had: with the backbone whose weights always can, else at
   * random. For the sample set only: on real data that would quietly give another model than was
   * asked for.
   */
  fallBack: boolean;
  /** How images are read, for a random start. */
  decode: DecodeOptions;
  /** Of fetching a weights file, in megabytes. */
  onProgress?: OnProgress | undefined;
  /** Where ImageNet weights are had; by default each backbone's own place. */
  imagenetOf?: (backbone: Architecture["backbone"]) => ImagenetWeights;
}

/**
 * A model as training starts from it, with the weights that `model.weights` names; a head that they
 * don't hold is random.
 *
 * @param config `model` and `seed` decide.
 * @param trainingImages Absolute paths; a random start estimates BatchNorm statistics from the
 * first of them.
 * @returns The model, which the caller disposes, and where its weights came from.
 * @throws {WeightsMissingError} When ImageNet weights are asked for and are not to be had.
 * @throws {ModelError} When the weights are there and cannot be used.
 */
export async function startingModel(
  config: Pick<Config, "model" | "seed" | "data">,
  trainingImages: readonly string[],
  { fallBack, decode, onProgress, imagenetOf = (name) => backbones[name].imagenet }:
    StartingOptions,
): Promise<StartingModel> {
  const { backbone, weights } = config.model;
  if (weights === "random") {
    return await randomStart(
      config,
      trainingImages,
      decode,
      "seeded random weights, as asked for",
    );
  }
  if (weights !== "imagenet") {
    return await startFrom(config, backbone, (model) => loadWeights(model, weights));
  }
  const candidates = fallBack ? [...new Set([backbone, ALWAYS_THERE])] : [backbone];
  let reason = "";
  for (const candidate of candidates) {
    const imagenet = imagenetOf(candidate);
    try {
      return await startFrom(config, candidate, async (model) => {
        const sha256 = await loadImagenet(model, imagenet, onProgress);
        return { kind: "imagenet", note: imagenet.title + reason, sha256 };
      });
    } catch (error) {
      if (!(error instanceof WeightsMissingError && fallBack)) throw error;
      reason = `, in place of ${imagenet.title}, which cannot be had here (a run on the sample ` +
        "set goes on with this backbone)";
    }
  }
  const note = "seeded random weights, because no ImageNet weights are to be had. Expect a much " +
    "worse model than with them";
  return await randomStart(config, trainingImages, decode, note);
}

/** A new model with its weights put in, of which the backbone's must all be; freed when they cannot. */
async function startFrom(
  { model: { imageSize }, data: { classes }, seed }: Pick<Config, "model" | "seed" | "data">,
  backbone: Architecture["backbone"],
  load: (model: Model) => Promise<StartingWeights>,
  isDrawn: (name: string) => boolean = (name) => isHeadLayer(name.split("/")[0]!),
): Promise<StartingModel> {
  const model = createModel({ backbone, imageSize, classes }, seed, isDrawn);
  try {
    return { model, startingWeights: await load(model) };
  } catch (error) {
    disposeModel(model);
    throw error;
  }
}

/** Puts the ImageNet weights into the backbone's layers; returns the SHA-256 of their source. */
async function loadImagenet(
  model: Model,
  imagenet: ImagenetWeights,
  onProgress: OnProgress | undefined,
): Promise<string> {
  const { graph } = backbones[model.architecture.backbone];
  const specs = weightSpecs(graph(), inputShape(model.architecture));
  const { values, sha256 } = await imagenet.load(specs, onProgress);
  replaceWeights(model, specs, values);
  return sha256;
}

async function randomStart(
  config: Pick<Config, "model" | "seed" | "data">,
  trainingImages: readonly string[],
  decode: DecodeOptions,
  note: string,
): Promise<StartingModel> {
  return await startFrom(config, config.model.backbone, async (model) => {
    await estimateFromImages(model, decode, trainingImages);
    return {
      kind: "random",
      note: `${note}; BatchNorm statistics from training images`,
      sha256: null,
    };
  }, () => true);
}

async function estimateFromImages(
  model: Model,
  decode: DecodeOptions,
  paths: readonly string[],
): Promise<void> {
  const { imageSize, backbone } = model.architecture;
  const files = paths.slice(0, MOMENT_IMAGES);
  for await (const { pixels } of batches(files, { ...decode, batchSize: MOMENT_IMAGES })) {
    const images = preprocess(pixels, imageSize, backbones[backbone].preprocessing);
    estimateMoments(model, images);
    images.dispose();
  }
}
