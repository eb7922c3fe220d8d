import { isDeepStrictEqual } from "node:util";
import { DataError, ModelError, WeightsMissingError } from "../core/errors.ts";
import { namesBetween } from "../core/files.ts";
import type { OnProgress } from "../core/long_work.ts";
import { fromRoot, isSynthetic } from "../core/paths.ts";
import { createRandom } from "../core/random.ts";
import { type Config, DEFAULT_HEAD } from "../core/settings.ts";
import { median } from "../core/stats.ts";
import { tf } from "../core/tensorflow.ts";
import { batches, decodeImage, type DecodeOptions } from "../images/decode.ts";
import { macenkoColours, reinhardColours, unit } from "../images/stain.ts";
import { type ModelCard, type StainReference, stainReferenceSchema } from "../run/model_card.ts";
import type { Run } from "../run/run.ts";
import { labelledFiles, learntRows, readSplit } from "../run/split_file.ts";
import { isHeadLayer } from "./architectures.ts";
import { preprocess } from "./forward.ts";
import { type WeightSpec, weightSpecs } from "./graph.ts";
import { type ImagenetWeights, imagenetWeights } from "./imagenet.ts";
import { kerasTopology, readKerasWeights } from "./keras_files.ts";
import {
  type Architecture,
  backbones,
  createModel,
  disposeModel,
  estimateMoments,
  inputShape,
  type Model,
} from "./model.ts";
import { loadModel } from "./saved.ts";

/** Where a model's first weights came from, as its card tells it. */
export type StartingWeights = ModelCard["startingWeights"];

/** A model as training starts from it; the backbone may be another than the config's. */
type StartingModel = { model: Model; startingWeights: StartingWeights };

/**
 * The run's split and the model that training starts from. Only the sample set may start without
 * the ImageNet weights that were asked for: then `model.architecture` says which backbone it is.
 *
 * @param onProgress Of downloading a weights file, in megabytes.
 * @returns The model, which the caller disposes, and where its weights came from; the split;
 * `synthetic`, whether the images are the sample set; `decode`, how the run's images are read.
 * @throws {DataError} When notebook 03 has not been run.
 * @throws {ModelError} When the starting weights cannot be obtained.
 */
export async function startRun({ name, config, paths }: Run, onProgress?: OnProgress) {
  // it would overwrite what it starts from, and be another run each time
  if (namesBetween(paths.model, fromRoot(config.model.weights)) !== null) {
    const own = JSON.stringify(name);
    throw new ModelError(
      `The run ${own} cannot start from ${config.model.weights}, where it puts its own model.`,
      'Give the new training a name of its own (run: "...").',
    );
  }
  const split = await readSplit(paths.split);
  const synthetic = await isSynthetic(fromRoot(config.data.folder));
  const images = labelledFiles(learntRows(split), config).map(({ path }) => path);
  const { imageSize: size, resize, stainNormalisation: method } = config.model;
  const asTheyAre = { size, resize, maxMegapixels: config.data.maxMegapixels };
  const stain = await fitStainReference(images, { ...asTheyAre, method, seed: config.seed });
  const decode = { ...asTheyAre, stain };
  const start = await startingModel(config, images, { fallBack: synthetic, decode, onProgress });
  return { split, synthetic, decode, ...start };
}

/** Its ImageNet weights come with the installation: the way out where nothing can be downloaded. */
const ALWAYS_THERE: Architecture["backbone"] = "efficientnet_lite0";

/** How {@linkcode startingModel} finds its weights. */
export interface StartingOptions {
  /**
   * Go on where ImageNet weights cannot be obtained: with the backbone whose weights always can, else
   * at random. For the sample set only: real data would quietly get another model than asked for.
   */
  fallBack: boolean;
  /** How images are read, for a random start. */
  decode: DecodeOptions;
  /** Of downloading a weights file, in megabytes. */
  onProgress?: OnProgress | undefined;
  /** ImageNet weights; by default each backbone's own. */
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
 * @throws {WeightsMissingError} When ImageNet weights are asked for and cannot be obtained.
 * @throws {ModelError} When the weights are there and cannot be used.
 */
export async function startingModel(
  config: Pick<Config, "model" | "seed" | "data">,
  trainingImages: readonly string[],
  { fallBack, decode, onProgress, imagenetOf = (name) => imagenetWeights[name] }: StartingOptions,
): Promise<StartingModel> {
  const { backbone, weights } = config.model;
  const randomStart = (note: string) =>
    startFrom(config, backbone, () => true, async (model) => {
      const files = trainingImages.slice(0, MOMENT_IMAGES);
      for await (const { pixels } of batches(files, { ...decode, batchSize: MOMENT_IMAGES })) {
        const { preprocessing } = backbones[backbone];
        const images = preprocess(pixels, config.model.imageSize, preprocessing);
        estimateMoments(model, images);
        images.dispose();
      }
      note += "; BatchNorm statistics from training images";
      return { kind: "random", note, sha256: null };
    });
  if (weights === "random") return await randomStart("seeded random weights, as asked for");
  if (weights !== "imagenet") {
    return await startFrom(config, backbone, isHeadLayer, (model) => loadWeights(model, weights));
  }
  let reason = "";
  for (const candidate of fallBack ? new Set([backbone, ALWAYS_THERE]) : [backbone]) {
    const { title, load } = imagenetOf(candidate);
    try {
      return await startFrom(config, candidate, isHeadLayer, async (model) => {
        const specs = weightSpecs(backbones[candidate].graph(), inputShape(model.architecture));
        const { values, sha256 } = await load(specs, onProgress);
        replaceWeights(model, specs, values);
        return { kind: "imagenet", note: title + reason, sha256 };
      });
    } catch (error) {
      if (!(error instanceof WeightsMissingError && fallBack)) throw error;
      reason = `, in place of ${title}, which cannot be obtained here (a run on the sample set ` +
        "goes on with this backbone)";
    }
  }
  return await randomStart(
    "seeded random weights, because no ImageNet weights can be obtained. Expect a much worse " +
      "model than with them",
  );
}

/**
 * A new model with its weights put in; freed when that fails.
 *
 * @param isDrawn Which weights are drawn at random, by name; the others must all be put in.
 */
async function startFrom(
  config: Pick<Config, "model" | "seed" | "data">,
  backbone: Architecture["backbone"],
  isDrawn: (name: string) => boolean,
  load: (model: Model) => Promise<StartingWeights>,
): Promise<StartingModel> {
  const { model: { imageSize, head, attention }, data: { classes }, seed } = config;
  const model = createModel({ backbone, imageSize, classes, head, attention }, seed, isDrawn);
  try {
    return { model, startingWeights: await load(model) };
  } catch (error) {
    disposeModel(model);
    throw error;
  }
}

/** Images whose statistics a random start takes; one batch of 64 settles means to a few percent. */
const MOMENT_IMAGES = 64;

/** Puts values, which must be complete, into a model's weights of these names. */
function replaceWeights(
  model: Model,
  specs: readonly WeightSpec[],
  values: ReadonlyMap<string, Float32Array>,
): void {
  for (const { name, shape } of specs) {
    model.weights.get(name)?.dispose();
    model.weights.set(name, tf.tensor(values.get(name)!, shape));
  }
}

/**
 * Puts the weights of a Keras file or of a model folder of this project into a model. All of them
 * are read and checked before the first one is replaced.
 *
 * A model folder gives backbone and head, and so does a Keras file with this project's head
 * (model.keras); of any other Keras file only the backbone is taken.
 *
 * @param given Path as the config has it; a relative one is meant from the project.
 * @returns Where the weights came from, for the model's card.
 * @throws {ModelError} When nothing is there, or it does not fit; the model is then unchanged.
 */
export async function loadWeights(model: Model, given: string): Promise<StartingWeights> {
  const path = fromRoot(given);
  const { isDirectory } = await Deno.stat(path).catch((cause) => {
    throw new ModelError(
      `model.weights is ${JSON.stringify(given)}, and there is nothing at ${path}.`,
      'Correct the path (relative ones are meant from the project), or write "imagenet" or "random".',
      { cause },
    );
  });
  return isDirectory ? await fromFolder(model, path, given) : await fromFile(model, path, given);
}

async function fromFile(model: Model, path: string, given: string): Promise<StartingWeights> {
  const specs = weightSpecs(model.graph, inputShape(model.architecture));
  const { values, sha256 } = await readKerasWeights(path, {
    required: specs.filter(({ layer }) => !isHeadLayer(layer)),
    optional: specs.filter(({ layer }) => isHeadLayer(layer)),
    topology: kerasTopology(model),
  });
  const found = specs.filter(({ name }) => values.has(name));
  replaceWeights(model, found, values);
  const whole = found.length === specs.length;
  const what = whole ? "backbone and head" : "the backbone; the head starts at random";
  return { kind: "file", note: `Keras file ${given}: ${what}`, sha256 };
}

async function fromFolder(model: Model, folder: string, given: string): Promise<StartingWeights> {
  const { model: source, card } = await loadModel(folder);
  const [ours, theirs] = [model.architecture, source.architecture];
  if (theirs.ensemble) {
    disposeModel(source);
    throw new ModelError(
      `The model in ${folder} was joined from ${theirs.ensemble.members} folds. Training can go on ` +
        "from a single model only.",
      "Name the model of a run without folds in model.weights.",
    );
  }
  for (
    const [name, wanted, found] of [
      ["model.backbone", ours.backbone, theirs.backbone],
      ["data.classes", ours.classes, theirs.classes],
      ["model.head", ours.head ?? DEFAULT_HEAD, theirs.head ?? DEFAULT_HEAD],
      ["model.attention", ours.attention ?? "none", theirs.attention ?? "none"],
    ] as const
  ) {
    if (isDeepStrictEqual(wanted, found)) continue;
    disposeModel(source);
    throw new ModelError(
      `The model in ${folder} cannot be trained further here: it has ${JSON.stringify(found)} ` +
        `where ${name} is ${JSON.stringify(wanted)}.`,
      "Change the config to what the model has, or name another model in model.weights.",
    );
  }
  disposeModel(model);
  for (const [name, tensor] of source.weights) model.weights.set(name, tensor);
  const origin = `run ${card.run}, epoch ${card.training.bestEpoch}`;
  const note = `model ${given} (${origin}): backbone and head`;
  return { kind: "model", note, sha256: card.weights.sha256 };
}

const STAIN_IMAGES = 64;

/**
 * The reference of a training: the medians, value by value, of the colours of up to 64 training
 * images, drawn by the seed. Never of validation or test images.
 *
 * @param paths Absolute, of training images.
 * @returns `null` for the method `none`.
 * @throws {DataError} When none of the images has colours to speak of.
 * @throws {ImageError} When one of the images cannot be read.
 */
export async function fitStainReference(
  paths: readonly string[],
  { method, seed, ...decode }: Omit<DecodeOptions, "stain"> & {
    method: Config["model"]["stainNormalisation"];
    seed: number;
  },
): Promise<StainReference | null> {
  if (method === "none") return null;
  const chosen = createRandom(`${seed}/stain`).shuffle(paths.toSorted()).slice(0, STAIN_IMAGES);
  const found: (readonly number[])[][] = []; // [image, kind of value, channel or stain]
  for (const path of chosen) { // one image at a time is in memory
    const { pixels } = await decodeImage(path, decode);
    if (method === "reinhard") {
      const colours = reinhardColours(pixels);
      if (colours) found.push([colours.mean, colours.deviation]);
    } else {
      const colours = macenkoColours(pixels);
      if (colours) found.push([...colours.stains, colours.amounts]);
    }
  }
  const medians =
    found[0]?.map((values, kind) =>
      values.map((_, place) => median(found.map((colours) => colours[kind]![place]!)))
    ) ?? [];
  const [first = [], second = [], amounts] = medians;
  const reference = stainReferenceSchema.safeParse(
    method === "reinhard"
      ? { method, mean: first, deviation: second }
      : { method, stains: [unit(first), unit(second)], amounts },
  );
  if (reference.success) return reference.data;
  throw new DataError(
    `The stains cannot be normalised by ${method}: in ${chosen.length} training images that were ` +
      "looked at there is no stained tissue whose colours could be the reference.",
    'Look at the images in notebook 02, or set model.stainNormalisation to "none".',
  );
}
