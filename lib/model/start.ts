import { isDeepStrictEqual } from "node:util";
import { DataError, ModelError, WeightsMissingError } from "../core/errors.ts";
import { namesBetween } from "../core/files.ts";
import { fromRoot, isSynthetic, runPaths } from "../core/paths.ts";
import { createRandom } from "../core/random.ts";
import { type Config, DEFAULT_HEAD } from "../core/settings.ts";
import { median } from "../core/stats.ts";
import type { OnProgress } from "../core/stop.ts";
import { tf } from "../core/tensorflow.ts";
import { batches, decodeImage, type DecodeOptions } from "../images/decode.ts";
import { macenkoColours, reinhardColours, unit } from "../images/stain.ts";
import { type ModelCard, type StainReference, stainReferenceSchema } from "../run/model_card.ts";
import { readSplit, type SplitRow, subsetItems } from "../run/split_file.ts";
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

/** Images whose statistics a random start takes; one batch of 64 settles means to a few percent. */
const MOMENT_IMAGES = 64;

/** Its ImageNet weights come with the installation: the way out where nothing can be fetched. */
const ALWAYS_THERE: Architecture["backbone"] = "efficientnet_lite0";

/** Where a model's first weights came from, as its card tells it. */
export type StartingWeights = ModelCard["startingWeights"];

/** A model as training starts from it. */
interface StartingModel {
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
  { fallBack, decode, onProgress, imagenetOf = (name) => imagenetWeights[name] }: StartingOptions,
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
  { model: { imageSize, head }, data: { classes }, seed }: Pick<Config, "model" | "seed" | "data">,
  backbone: Architecture["backbone"],
  load: (model: Model) => Promise<StartingWeights>,
  isDrawn: (name: string) => boolean = (name) => isHeadLayer(name.split("/")[0]!),
): Promise<StartingModel> {
  const model = createModel({ backbone, imageSize, classes, head }, seed, isDrawn);
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

/** A run as training finds it; the caller disposes its model. */
interface Start extends StartingModel {
  split: SplitRow[];
  /** Whether the images are the synthetic sample set. */
  synthetic: boolean;
  /** How the run's images are read: with colours fitted to its training images, if at all. */
  decode: DecodeOptions;
}

/**
 * The run's split and the model that training starts from. Only the sample set may start without
 * the ImageNet weights that were asked for: then `model.architecture` says which backbone it is.
 *
 * @param onProgress Of fetching a weights file, in megabytes.
 * @throws {DataError} When notebook 03 has not been run.
 * @throws {ModelError} When the starting weights are not to be had.
 */
export async function startRun(config: Config, onProgress?: OnProgress): Promise<Start> {
  refuseOwnFolder(config);
  const split = await readSplit(runPaths(config.run).split);
  const folder = fromRoot(config.data.folder);
  const synthetic = await isSynthetic(folder);
  const images = subsetItems(split, "train", folder, config.data.classes).map(({ path }) => path);
  const { imageSize: size, resize, stainNormalisation: method } = config.model;
  const asTheyAre = { size, resize, maxMegapixels: config.data.maxMegapixels };
  const stain = await fitStainReference(images, { ...asTheyAre, method, seed: config.seed });
  const decode = { ...asTheyAre, stain };
  const start = await startingModel(config, images, { fallBack: synthetic, decode, onProgress });
  return { split, synthetic, decode, ...start };
}

/** A run that starts from its own result would overwrite it, and be another run each time. */
function refuseOwnFolder({ run, model: { weights } }: Config): void {
  const own = runPaths(run).model;
  if (namesBetween(own, fromRoot(weights)) === null) return;
  throw new ModelError(
    `The run ${
      JSON.stringify(run)
    } cannot start from ${weights}: that is where it puts its own model.`,
    'Give the new training a name of its own (run: "...").',
  );
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
export async function loadWeights(
  model: Model,
  given: string,
): Promise<ModelCard["startingWeights"]> {
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

async function fromFile(
  model: Model,
  path: string,
  given: string,
): Promise<ModelCard["startingWeights"]> {
  const inputs = inputShape(model.architecture);
  const specs = weightSpecs(model.graph, inputs);
  const required = specs.filter(({ layer }) => !isHeadLayer(layer));
  const optional = specs.filter(({ layer }) => isHeadLayer(layer));
  const { values, sha256 } = await readKerasWeights(path, {
    required,
    optional,
    topology: kerasTopology("", model.graph, inputs),
  });
  const found = specs.filter(({ name }) => values.has(name));
  replaceWeights(model, found, values);
  const what = found.length === specs.length
    ? "backbone and head"
    : "the backbone; the head starts at random";
  return { kind: "file", note: `Keras file ${given}: ${what}`, sha256 };
}

async function fromFolder(
  model: Model,
  folder: string,
  given: string,
): Promise<ModelCard["startingWeights"]> {
  const { model: source, card } = await loadModel(folder);
  const [ours, theirs] = [model.architecture, source.architecture];
  const fields: [name: string, ours: unknown, theirs: unknown][] = [
    ["model.backbone", ours.backbone, theirs.backbone],
    ["data.classes", ours.classes, theirs.classes],
    ["model.head", ours.head ?? DEFAULT_HEAD, theirs.head ?? DEFAULT_HEAD],
  ];
  const other = fields.find(([, ours, theirs]) => !isDeepStrictEqual(ours, theirs));
  if (other) {
    const [name, wanted, found] = other;
    tf.dispose([...source.weights.values()]);
    throw new ModelError(
      `The model in ${folder} cannot be trained further here: it has ${JSON.stringify(found)} ` +
        `where ${name} is ${JSON.stringify(wanted)}.`,
      "Change the config to what the model has, or name another model in model.weights.",
    );
  }
  tf.dispose([...model.weights.values()]);
  model.weights.clear();
  for (const [name, tensor] of source.weights) model.weights.set(name, tensor);
  const note = `model ${given} (run ${card.run}, epoch ${card.training.bestEpoch}): ` +
    "backbone and head";
  return { kind: "model", note, sha256: card.weights.sha256 };
}

/** Training images whose colours are looked at. */
const IMAGES = 64;

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
  const chosen = createRandom(`${seed}/stain`).shuffle(paths.toSorted()).slice(0, IMAGES);
  /** One image at a time is in memory. */
  const look = async <T>(coloursOf: (pixels: Uint8Array) => T | null): Promise<T[]> => {
    const found: T[] = [];
    for (const path of chosen) {
      const colours = coloursOf((await decodeImage(path, decode)).pixels);
      if (colours !== null) found.push(colours);
    }
    if (found.length > 0) return found;
    throw noColours(method, chosen.length);
  };
  if (method === "reinhard") {
    const colours = await look(reinhardColours);
    return stainReferenceSchema.parse({
      method,
      mean: medians(colours.map(({ mean }) => mean)),
      deviation: medians(colours.map(({ deviation }) => deviation)),
    });
  }
  const colours = await look(macenkoColours);
  const stain = (i: 0 | 1) => unit(medians(colours.map(({ stains }) => stains[i])));
  const reference = stainReferenceSchema.safeParse({
    method,
    stains: [stain(0), stain(1)],
    amounts: medians(colours.map(({ amounts }) => amounts)),
  });
  if (!reference.success) throw noColours(method, chosen.length);
  return reference.data;
}

function noColours(method: string, images: number): DataError {
  return new DataError(
    `The stains cannot be normalised by ${method}: in ${images} training images that were looked ` +
      "at there is no stained tissue whose colours could be the reference.",
    'Look at the images in notebook 02, or set model.stainNormalisation to "none".',
  );
}

/** The median of each place over all rows. */
function medians(rows: readonly (readonly number[])[]): number[] {
  return rows[0]!.map((_, place) => median(rows.map((row) => row[place]!)));
}
