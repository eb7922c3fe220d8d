import { join } from "node:path";
import { z } from "zod";
import { ModelError } from "../core/errors.ts";
import { exists, writeJson } from "../core/files.ts";
import { runPaths } from "../core/paths.ts";
import { createRandom } from "../core/random.ts";
import type { Config } from "../core/settings.ts";
import type { OnProgress } from "../core/stop.ts";
import { type ImageTraits, imageTraits } from "../images/traits.ts";
import type { ModelCard } from "../run/model_card.ts";
import { splitContents, type SplitRow, type Subset } from "../run/split_file.ts";
import { FEATURE_LAYER } from "./architectures.ts";
import { featureDistance, type FeatureSpace, fitFeatureSpace } from "./feature_space.ts";
import { inferShapes } from "./graph.ts";
import { disposeModel, inputShape, type Model } from "./model.ts";
import {
  createPredictor,
  decodeOptions,
  type FeaturePredictor,
  seeImages,
  type SeenImage,
} from "./predict.ts";
import { loadRunModel, type RunModel } from "./saved.ts";

/** The measures that are compared with those of the training images. */
const TRAITS = [
  "size",
  "shape",
  "stain",
  "redness",
  "blueness",
  "blur",
  "dark",
  "bright",
] as const satisfies (keyof ImageTraits)[];

/** Its name in a model folder. */
export const REFERENCE_FILE = "reference.json";

/** That of the widest backbone takes 0.2 MB. */
const MAX_BYTES = 2_000_000;

/** Says what is unusual about an image. */
export type Flagger = (
  image: Pick<SeenImage, "original" | "features" | "width" | "height">,
) => Strangeness;

/** Writes a model's reference into its folder, atomically. */
export async function writeReference(folder: string, reference: Reference): Promise<void> {
  await writeJson(join(folder, REFERENCE_FILE), reference);
}

/**
 * Reads what ordinary images of a model look like. The file is untrusted: sizes are checked before
 * anything is allocated, and it must be of this model's weights.
 *
 * @returns `null` when there is none of these weights: notebook 06 has not been run since the training.
 * @throws {ModelError} When it is damaged or of another version.
 */
export async function readFlagger(
  folder: string,
  { graph, architecture }: Pick<Model, "graph" | "architecture">,
  card: Pick<ModelCard, "weights">,
): Promise<Flagger | null> {
  const path = join(folder, REFERENCE_FILE);
  if (!await exists(path)) return null;
  const remedy = "Run notebook 06 again; it writes this file.";
  const refuse = (what: string, cause?: unknown): never => {
    throw new ModelError(`${path} ${what}`, remedy, { cause });
  };
  const { size, isFile } = await Deno.stat(path);
  if (!isFile || size > MAX_BYTES) refuse("is far too large to be what it should be.");
  let json: unknown;
  try {
    json = JSON.parse(await Deno.readTextFile(path));
  } catch (cause) {
    refuse("is damaged: it is not JSON.", cause);
  }
  const parsed = referenceSchema.safeParse(json);
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    return refuse(`was not written by this version (${field.join(".")}: ${message}).`);
  }
  const reference = parsed.data;
  if (reference.weightsSha256 !== card.weights.sha256) return null; // of an earlier training
  const channels = inferShapes(graph, inputShape(architecture)).get(FEATURE_LAYER)!.at(-1)!;
  const ordinary = unpack(reference, channels) ?? refuse("does not hold this model's features.");
  return createFlagger(ordinary, architecture.imageSize);
}

function unpack({ traits, features }: Reference, channels: number): OrdinaryImages | null {
  if (features.channels !== channels) return null;
  const mean = unpackFloats(features.mean, channels);
  const directions = unpackFloats(features.directions, channels * features.variances.length);
  return mean && directions && {
    ranges: traits.ranges,
    traitLimit: traits.limit,
    space: { mean, directions, variances: features.variances, rest: features.rest },
    distances: features.distances,
    distanceLimit: features.limit,
  };
}

/** @param size Side of the model's input, in pixels. */
function createFlagger(ordinary: OrdinaryImages, size: number): Flagger {
  return ({ original, features, width, height }) =>
    compare({ traits: imageTraits(original, size, { width, height }), features }, ordinary);
}

/** Version of reference.json; a reader refuses any other. */
const REFERENCE_FORMAT = 1;

const finite = z.number().min(-1e6).max(1e6);

const spread = z.number().min(1e-9).max(1e6);

const rangeSchema = z.object({ median: finite, below: spread, above: spread });

const limitSchema = z.number().min(0.1).max(100);

/** Channels of the widest backbone, and directions, that a reader makes room for. */
const MOST_CHANNELS = 4096;

const MOST_DIRECTIONS = 64;

/** See {@linkcode Reference}. */
const referenceSchema = z.object({
  format: z.literal(REFERENCE_FORMAT),
  weightsSha256: z.string().regex(/^[0-9a-f]{64}$/),
  share: z.number().gt(0).lt(1),
  chance: z.number().gt(0).max(1),
  images: z.object({ train: z.int().positive(), validation: z.int().positive() }),
  flagged: z.int().min(0),
  traits: z.object({
    ranges: z.record(z.enum(TRAITS), rangeSchema),
    limit: limitSchema,
  }),
  features: z.object({
    channels: z.int().min(1).max(MOST_CHANNELS),
    mean: z.string(),
    directions: z.string(),
    variances: z.array(z.number().positive().max(1e6)).min(1).max(MOST_DIRECTIONS),
    rest: z.number().positive().max(1e6),
    distances: rangeSchema,
    limit: limitSchema,
  }),
});

/**
 * What ordinary images of a model look like: reference.json in the model folder.
 *
 * - `weightsSha256`: of the weights whose features these are; of no others do they mean anything.
 * - `share`: of ordinary images that were to be flagged; `chance`: the share that can be vouched for
 *   from so few validation images.
 * - `images`: how many it was fitted on; `flagged`: how many of the validation images are.
 * - `traits`: the usual range of each measure in training, and how many spreads from the median are
 *   unusual.
 * - `features`: see `FeatureSpace`, 16-bit floats in base64; `distances`: the usual range of
 *   the logarithm of the distance on validation, and how many spreads above it are unfamiliar.
 */
export type Reference = z.infer<typeof referenceSchema>;

/** An image as it is compared with ordinary ones. */
export interface Appearance {
  traits: ImageTraits;
  /** Of the backbone: [channels]. */
  features: Float32Array;
}

/** What is unusual about an image. */
interface Strangeness {
  /** In the order of `FLAGS`; empty: nothing. */
  flags: Flag[];
  /** 0 and more, as multiples of what is still ordinary: above 1 just where there is a flag. */
  strangeness: number;
}

/** The usual range of every measure. */
type TraitRanges = Readonly<Record<keyof ImageTraits, UsualRange>>;

/** {@linkcode Strangeness} is judged by these. */
interface OrdinaryImages {
  ranges: TraitRanges;
  /** How many spreads of a measure are unusual. */
  traitLimit: number;
  space: FeatureSpace;
  /** Usual range of the logarithm of `featureDistance`. */
  distances: UsualRange;
  /** How many spreads above it are unfamiliar. */
  distanceLimit: number;
}

/** How many spreads each measure lies on its unusual side; 0 on the other one. */
function traitSpreads(traits: ImageTraits, ranges: TraitRanges): [Flag, number][] {
  return TRAITS.map((name) => {
    const { flag, side } = TRAIT_RULES[name];
    const away = spreadsAway(traits[name], ranges[name]);
    const spreads = side === "both" ? Math.abs(away) : side === "above" ? away : -away;
    return [flag, Math.max(0, spreads)];
  });
}

/** Compares an image with ordinary ones. */
function compare(
  { traits, features }: Appearance,
  { ranges, traitLimit, space, distances, distanceLimit }: OrdinaryImages,
): Strangeness {
  const distance = Math.log(featureDistance(features, space));
  const scores: [Flag, number][] = [
    ...traitSpreads(traits, ranges)
      .map(([flag, spreads]): [Flag, number] => [flag, spreads / traitLimit]),
    ["unfamiliar", Math.max(0, spreadsAway(distance, distances)) / distanceLimit],
  ];
  const unusual = new Set(scores.filter(([, score]) => score > 1).map(([flag]) => flag));
  return {
    flags: FLAGS.filter((flag) => unusual.has(flag)),
    strangeness: Math.max(...scores.map(([, score]) => score)),
  };
}

/** Everything that can be unusual about an image, in the order in which it is named. */
export const FLAGS = [
  "unusual_size",
  "unusual_shape",
  "unusual_colour",
  "blurred",
  "too_dark",
  "too_bright",
  "unfamiliar",
] as const;

/** A reason to look at an image. */
export type Flag = (typeof FLAGS)[number];

/** What a measure tells. */
interface TraitRule {
  flag: Flag;
  /** Which direction is unusual. */
  side: "below" | "above" | "both";
  /** Least spread: see `usualRange`. */
  least: number;
}

/** Least spreads are a third of what an eye would call another size, colour or sharpness. */
const TRAIT_RULES: Readonly<Record<keyof ImageTraits, TraitRule>> = {
  size: { flag: "unusual_size", side: "both", least: 0.2 },
  shape: { flag: "unusual_shape", side: "both", least: 0.15 },
  stain: { flag: "unusual_colour", side: "both", least: 0.15 },
  redness: { flag: "unusual_colour", side: "both", least: 0.05 },
  blueness: { flag: "unusual_colour", side: "both", least: 0.05 },
  blur: { flag: "blurred", side: "above", least: 0.02 },
  dark: { flag: "too_bright", side: "above", least: 10 },
  bright: { flag: "too_dark", side: "below", least: 10 },
};

/** Numbers as little-endian 16-bit floats (IEEE 754 binary16) in base64. */
export function packFloats(values: Float32Array): string {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setFloat16(2 * i, value, true));
  return bytes.toBase64();
}

/**
 * The inverse of {@linkcode packFloats}. The length of the text is checked before anything is made
 * of it.
 *
 * @param count How many numbers there must be.
 * @returns `null` when there are not so many, or some are not finite.
 */
export function unpackFloats(text: string, count: number): Float32Array | null {
  if (text.length !== 4 * Math.ceil(2 * count / 3)) return null;
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(text);
  } catch {
    return null;
  }
  if (bytes.length !== 2 * count) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const values = Float32Array.from({ length: count }, (_, i) => view.getFloat16(2 * i, true));
  return values.every(Number.isFinite) ? values : null;
}

/** Where most of some numbers lie: the middle, and how far they usually reach from it. */
interface UsualRange {
  median: number;
  /** Below the median, as a standard deviation: above 0. */
  below: number;
  /** Above the median, as a standard deviation: above 0. */
  above: number;
}

/** Standard deviations of a normal distribution between its middle and its 95th percentile. */
const TO_95_PERCENT = 1.6449;

/**
 * Median, and on each side the distance to the outermost 5 % as that many standard deviations of a
 * normal distribution. Each side has its own, since brightness and sharpness are skewed; up to 5 % of
 * the numbers on a side may be anything.
 *
 * @param values At least one.
 * @param least Least spread: smaller differences are of no importance, however alike the numbers are.
 */
export function usualRange(values: readonly number[], least: number): UsualRange {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  const median = at(0.5);
  return {
    median,
    below: Math.max(least, (median - at(0.05)) / TO_95_PERCENT),
    above: Math.max(least, (at(0.95) - median) / TO_95_PERCENT),
  };
}

/** How many spreads a number lies from the middle, with its sign. */
export function spreadsAway(value: number, { median, below, above }: UsualRange): number {
  const distance = value - median;
  return distance < 0 ? distance / below : distance / above;
}

/**
 * The number that a new one of the same kind exceeds with a chance of at most `share`: of m numbers
 * the ⌈(m + 1)(1 − share)⌉-th, by which the chance holds whatever their distribution is (Vovk,
 * Gammerman & Shafer 2005, conformal prediction). Of fewer than 1 / share − 1 numbers it is the largest,
 * and the chance 1 / (m + 1).
 *
 * @param values At least one.
 * @returns `chance`: the one that holds.
 */
export function conformalLimit(
  values: readonly number[],
  share: number,
): { limit: number; chance: number } {
  const m = values.length;
  // rounding errors of (m + 1)(1 − share) must not raise it by one
  const rank = Math.min(m, Math.ceil((m + 1) * (1 - share) - 1e-9));
  return { limit: values.toSorted((a, b) => a - b)[rank - 1]!, chance: 1 - rank / (m + 1) };
}

/** With fewer images there is no telling what is usual. */
const LEAST_TRAINING = 20;

const LEAST_VALIDATION = 10;

/**
 * Spreads within which nothing is unusual, and beyond which everything is. The former keep quiet where all
 * images are nearly alike; the latter hold where outliers are among the validation images themselves.
 */
const TRAIT_LIMITS = { least: 4, most: 8 };

const DISTANCE_LIMITS = { least: 2, most: 8 };

/** Least spread of the logarithm of a distance. */
const LEAST_DISTANCE_SPREAD = 0.02;

/** What a reference is fitted to. */
interface ReferenceSample {
  /** Say what is usual. */
  train: readonly Appearance[];
  /** Say how far from it is unusual: of other patients, and never learnt. */
  validation: readonly Appearance[];
}

/**
 * Fits what ordinary images look like. Half of the share of ordinary images that may be flagged is for
 * the measures together, half for the distance in feature space.
 *
 * @param options `share`: 0 to 1. `weightsSha256`: of the model that gave the features.
 * @returns `null` with fewer than 20 training or 10 validation images.
 */
export function fitReference(
  { train, validation }: ReferenceSample,
  { share, weightsSha256 }: { share: number; weightsSha256: string },
): Reference | null {
  if (train.length < LEAST_TRAINING || validation.length < LEAST_VALIDATION) return null;
  const ranges = Object.fromEntries(TRAITS.map((name) => [
    name,
    usualRange(train.map(({ traits }) => traits[name]), TRAIT_RULES[name].least),
  ])) as Reference["traits"]["ranges"];
  const space = fitFeatureSpace(train.map(({ features }) => features));
  const logs = validation.map(({ features }) => Math.log(featureDistance(features, space)));
  const distances = usualRange(logs, LEAST_DISTANCE_SPREAD);
  const byTraits = limitOf(
    validation.map(({ traits }) =>
      Math.max(...traitSpreads(traits, ranges).map(([, spreads]) => spreads))
    ),
    share / 2,
    TRAIT_LIMITS,
  );
  const byDistance = limitOf(
    logs.map((log) => (log - distances.median) / distances.above),
    share / 2,
    DISTANCE_LIMITS,
  );
  const ordinary = {
    ranges,
    traitLimit: byTraits.limit,
    space,
    distances,
    distanceLimit: byDistance.limit,
  };
  return {
    format: REFERENCE_FORMAT,
    weightsSha256,
    share,
    chance: byTraits.chance + byDistance.chance,
    images: { train: train.length, validation: validation.length },
    flagged: validation.filter((image) => compare(image, ordinary).flags.length > 0).length,
    traits: { ranges, limit: byTraits.limit },
    features: {
      channels: space.mean.length,
      mean: packFloats(space.mean),
      directions: packFloats(space.directions),
      variances: space.variances,
      rest: space.rest,
      distances,
      limit: byDistance.limit,
    },
  };
}

function limitOf(
  spreads: readonly number[],
  share: number,
  { least, most }: { least: number; most: number },
): { limit: number; chance: number } {
  const { limit, chance } = conformalLimit(spreads, share);
  return { limit: Math.min(most, Math.max(least, limit)), chance };
}

/** Images of a subset that are looked at: enough for what is fitted, and no minutes of waiting. */
const MOST = 1000;

/**
 * Learns what ordinary images of the run's model look like, from up to 1000 of its training and of
 * its validation images, drawn by the seed, and writes it to reference.json in the model folder.
 * Test images are not looked at.
 *
 * @param run The saved model, its card, and the split that it was trained on.
 * @returns `null`, and nothing is written, when there are too few images to tell.
 * @throws {ImageError} When an image has gone or broken since the training, or is another one than
 *   the split was made of.
 */
export async function fitRunReference(
  run: RunModel,
  config: Config,
  onProgress?: OnProgress,
): Promise<Reference | null> {
  const { model, card, split } = run;
  const chosen = (subset: Subset) => {
    const rows = split.filter((row) => row.subset === subset);
    return createRandom(`${config.seed}/reference/${subset}`).shuffle(rows).slice(0, MOST);
  };
  const [train, validation] = [chosen("train"), chosen("validation")];
  const total = train.length + validation.length;
  const predictor = createPredictor(model, card.preprocessing);
  let done = 0;
  const look = (rows: readonly SplitRow[]) =>
    appearances(predictor, card, rows, config, (path) => {
      onProgress?.(++done, total, path);
    });
  try {
    const reference = fitReference(
      { train: await look(train), validation: await look(validation) },
      { share: config.metrics.flagShare, weightsSha256: card.weights.sha256 },
    );
    if (reference !== null) await writeReference(runPaths(config.run).model, reference);
    return reference;
  } finally {
    predictor.dispose();
  }
}

async function appearances(
  predictor: FeaturePredictor,
  card: ModelCard,
  rows: readonly SplitRow[],
  config: Config,
  onSeen: (path: string) => void,
): Promise<Appearance[]> {
  const contents = splitContents(rows, config);
  const { batchSize } = config.training;
  const options = { ...decodeOptions(card), batchSize, contents };
  const seen: Appearance[] = [];
  for await (const image of seeImages(predictor, contents.keys(), options)) {
    if ("error" in image) throw image.error;
    const { original, features } = image;
    // a copy: the features of a batch share one array
    seen.push({
      traits: imageTraits(original, options.size, image),
      features: Float32Array.from(features),
    });
    onSeen(rows[seen.length - 1]!.path);
  }
  return seen;
}

/**
 * Learns what ordinary images of the run look like, so that section 7 can flag others; see
 * `fitRunReference`.
 *
 * @returns `null` when there are too few images to tell.
 * @throws {ModelError} When there is no usable model.
 * @throws {ImageError} When an image has gone or broken since the training.
 */
export async function learnReference(
  config: Config,
  onProgress?: OnProgress,
): Promise<Reference | null> {
  const run = await loadRunModel(config);
  try {
    return await fitRunReference(run, config, onProgress);
  } finally {
    disposeModel(run.model);
  }
}
