import { join } from "node:path";
import { z } from "zod";
import { ModelError } from "../core/errors.ts";
import { exists, readJson, writeJson } from "../core/files.ts";
import type { OnProgress } from "../core/long_work.ts";
import { createRandom } from "../core/random.ts";
import { type ImageTraits, imageTraits } from "../images/traits.ts";
import type { ModelCard } from "../run/model_card.ts";
import type { Run } from "../run/run.ts";
import { foldRows, type Member, members, type SplitRow } from "../run/split_file.ts";
import { FEATURE_LAYER } from "./architectures.ts";
import { featureDistance, type FeatureSpace, fitFeatureSpace } from "./feature_space.ts";
import { inferShapes } from "./graph.ts";
import { inputShape, type Model } from "./model.ts";
import {
  type Appearance,
  createPredictor,
  type PredictedImage,
  predictRows,
  type RowPrediction,
} from "./predict.ts";
import { type RunModel } from "./saved.ts";

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

/**
 * The measures that are compared with those of the training images, the side of each that is
 * unusual, and its least spread ({@linkcode usualRange}): a third of what an eye would call another
 * size, colour or sharpness.
 */
const TRAIT_RULES: Readonly<
  Record<keyof ImageTraits, { flag: Flag; side: "below" | "above" | "both"; least: number }>
> = {
  size: { flag: "unusual_size", side: "both", least: 0.2 },
  shape: { flag: "unusual_shape", side: "both", least: 0.15 },
  stain: { flag: "unusual_colour", side: "both", least: 0.15 },
  redness: { flag: "unusual_colour", side: "both", least: 0.05 },
  blueness: { flag: "unusual_colour", side: "both", least: 0.05 },
  blur: { flag: "blurred", side: "above", least: 0.02 },
  dark: { flag: "too_bright", side: "above", least: 10 },
  bright: { flag: "too_dark", side: "below", least: 10 },
};

const TRAITS = Object.keys(TRAIT_RULES) as (keyof ImageTraits)[];

/** Name of the reference in a model folder. */
export const REFERENCE_FILE = "reference.json";

const finite = z.number().min(-1e6).max(1e6);

const spread = z.number().min(1e-9).max(1e6);

const rangeSchema = z.object({ median: finite, below: spread, above: spread });

const limit = z.number().min(0.1).max(100);

const referenceSchema = z.object({
  format: z.literal(1),
  weightsSha256: z.string().regex(/^[0-9a-f]{64}$/),
  share: z.number().gt(0).lt(1),
  chance: z.number().gt(0).max(1),
  images: z.object({ train: z.int().positive(), validation: z.int().positive() }),
  flagged: z.int().min(0),
  traits: z.object({ ranges: z.record(z.enum(TRAITS), rangeSchema), limit }),
  features: z.object({
    channels: z.int().min(1).max(4096), // of the widest backbone: 2048
    mean: z.string(),
    directions: z.string(),
    variances: z.array(z.number().positive().max(1e6)).min(1).max(64),
    rest: z.number().positive().max(1e6),
    distances: rangeSchema,
    limit,
  }),
});

/**
 * What the images of a model's training look like: reference.json in the model folder.
 *
 * - `weightsSha256`: of the weights whose features these are; of no others do they mean anything.
 * - `share`: of images like them that were to be flagged; `chance`: the share that can be vouched for
 *   from so few validation images.
 * - `images`: how many it was fitted on; `flagged`: how many of the validation images are.
 * - `traits`: the usual range of each measure in training, and how many spreads from the median are
 *   unusual.
 * - `features`: see `FeatureSpace`, 16-bit floats in base64; `distances`: the usual range of
 *   the logarithm of the distance on validation, and how many spreads above it are unfamiliar.
 */
export type Reference = z.infer<typeof referenceSchema>;

/** Images of a subset that are looked at: enough for what is fitted, and no minutes of waiting. */
const MOST = 1000;

/**
 * Fits the reference of a run's model to up to 1000 of its training and of its validation images,
 * drawn by the seed, and writes it to reference.json in the model folder. Test images are not looked
 * at. With folds it is up to 1000 of all images, each fold measured by what the others say is usual.
 *
 * @param seen Predictions with appearances, where the caller has them (`predictSubset` of the
 *   validation subset, `predictOutOfFold`): these images are then not predicted again.
 * @returns `null`, and nothing is written, when there are too few images to tell.
 * @throws {ImageError} When an image has gone or broken since the training, or is another one than
 *   the split was made of.
 */
export async function fitRunReference(
  { model, card, split }: RunModel,
  { config, paths }: Run,
  onProgress?: OnProgress,
  seen: readonly RowPrediction[] = [],
): Promise<Reference | null> {
  const known = new Map(seen.map(({ path, appearance }) => [path, appearance]));
  const draw = (subset: string, rows: readonly SplitRow[]) =>
    createRandom(`${config.seed}/reference/${subset}`).shuffle(rows).slice(0, MOST);
  const parts = drawParts(split, draw);
  const rows = [...new Set(parts.flatMap(({ train, validation }) => [...train, ...validation]))];
  const unknown = rows.filter(({ path }) => !known.get(path));
  const predictor = createPredictor(model, card.preprocessing);
  try {
    const predictions = await predictRows(predictor, card, unknown, config, {
      withAppearance: true,
      onProgress,
    });
    for (const { path, appearance } of predictions) known.set(path, appearance);
    const look = (rows: readonly SplitRow[]) => rows.map(({ path }) => known.get(path)!);
    const reference = fitReference(
      parts.map(({ train, validation }) => ({ train: look(train), validation: look(validation) })),
      { share: config.metrics.flagShare, weightsSha256: card.weights.sha256 },
    );
    if (reference !== null) await writeJson(join(paths.model, REFERENCE_FILE), reference);
    return reference;
  } finally {
    predictor.dispose();
  }
}

/** Images to say what is usual, and others to see how far from it is unusual. */
type Part<T> = Record<"train" | "validation", readonly T[]>;

function drawParts(
  split: readonly SplitRow[],
  draw: (subset: string, rows: readonly SplitRow[]) => SplitRow[],
): Part<SplitRow>[] {
  const [{ fold, train, validation }] = members(split) as [Member, ...Member[]];
  if (fold === "") {
    return [{ train: draw("train", train), validation: draw("validation", validation) }];
  }
  const drawn = draw("folds", foldRows(split));
  return [...Map.groupBy(drawn, ({ subset }) => subset)].map(([subset, own]) => {
    return { train: drawn.filter((row) => row.subset !== subset), validation: own };
  });
}

/**
 * Spreads within which nothing is unusual, and beyond which everything is. The former keep quiet where all
 * images are nearly alike; the latter hold where outliers are among the validation images themselves.
 */
const TRAIT_LIMITS = { least: 4, most: 8 };

const DISTANCE_LIMITS = { least: 2, most: 8 };

const LEAST_DISTANCE_SPREAD = 0.02;

/**
 * Fits what the images of a training look like. Half of the share that may be flagged is for the
 * measures together, half for the distance in feature space.
 *
 * @param parts In each, `train` say what is usual; `validation`, which are of other patients and were
 *   never learnt, how far from it is unusual. Of several parts every image is in both in turn: all of
 *   them then say what is usual, and the limits are those of all parts.
 * @param options `share`: 0 to 1. `weightsSha256`: of the model that gave the features.
 * @returns `null` with fewer than 20 training or 10 validation images.
 */
export function fitReference(
  parts: readonly Part<Appearance>[],
  { share, weightsSha256 }: { share: number; weightsSha256: string },
): Reference | null {
  const train = parts.length === 1
    ? parts[0]!.train
    : parts.flatMap(({ validation }) => validation);
  const validation = parts.flatMap((part) => part.validation);
  const fewest = Math.min(...parts.map((part) => part.train.length));
  if (fewest < 20 || validation.length < 10) return null; // too few to tell what is usual
  const measured = parts.flatMap((part) => {
    const [ranges, space] = [rangesOf(part.train), spaceOf(part.train)];
    return part.validation.map(({ traits, features }) => ({
      spread: Math.max(...TRAITS.map((name) => traitSpread(name, traits, ranges))),
      log: Math.log(featureDistance(features, space)),
    }));
  });
  const byTraits = conformalLimit(measured.map(({ spread }) => spread), share / 2, TRAIT_LIMITS);
  const distances = usualRange(measured.map(({ log }) => log), LEAST_DISTANCE_SPREAD);
  const farness = measured.map(({ log }) => spreadsAway(log, distances));
  const byDistance = conformalLimit(farness, share / 2, DISTANCE_LIMITS);
  const flagged = measured.filter(({ spread }, i) =>
    spread > byTraits.limit || farness[i]! > byDistance.limit
  );
  const space = spaceOf(train);
  return {
    format: 1,
    weightsSha256,
    share,
    chance: byTraits.chance + byDistance.chance,
    images: { train: train.length, validation: validation.length },
    flagged: flagged.length,
    traits: { ranges: rangesOf(train), limit: byTraits.limit },
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

const spaceOf = (images: readonly Appearance[]): FeatureSpace =>
  fitFeatureSpace(images.map(({ features }) => features));

function rangesOf(images: readonly Appearance[]): Reference["traits"]["ranges"] {
  return Object.fromEntries(TRAITS.map((name) => [
    name,
    usualRange(images.map(({ traits }) => traits[name]), TRAIT_RULES[name].least),
  ])) as Reference["traits"]["ranges"];
}

/** That of the widest backbone takes 0.2 MB. */
const MAX_BYTES = 2_000_000;

/** Says what is unusual about an image: in the order of {@linkcode FLAGS}; empty: nothing. */
export type Flagger = (
  image: Pick<PredictedImage, "original" | "features" | "width" | "height">,
) => Flag[];

/**
 * Reads the reference of a model. The file is untrusted: sizes are checked before anything is
 * allocated, and it must be of this model's weights.
 *
 * @returns `null` when there is none of these weights: notebook 06 has not been run since the training.
 * @throws {DataError} When it is no JSON.
 * @throws {ModelError} When it is damaged otherwise, or of another version.
 */
export async function readFlagger(
  folder: string,
  { graph, architecture }: Pick<Model, "graph" | "architecture">,
  card: Pick<ModelCard, "weights">,
): Promise<Flagger | null> {
  const path = join(folder, REFERENCE_FILE);
  if (!await exists(path)) return null;
  const remedy = "Run notebook 06 again; it writes this file.";
  const refuse = (what: string): never => {
    throw new ModelError(`${path} ${what}`, remedy, { file: path });
  };
  const { size, isFile } = await Deno.stat(path);
  if (!isFile || size > MAX_BYTES) refuse("is far too large to be what it should be.");
  const parsed = referenceSchema.safeParse(await readJson(path, remedy));
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    return refuse(`was not written by this version (${field.join(".")}: ${message}).`);
  }
  const { weightsSha256, traits, features } = parsed.data;
  if (weightsSha256 !== card.weights.sha256) return null; // of an earlier training
  const channels = inferShapes(graph, inputShape(architecture)).get(FEATURE_LAYER)!.at(-1)!;
  const { variances, rest } = features;
  const mean = unpackFloats(features.mean, channels);
  const directions = unpackFloats(features.directions, channels * variances.length);
  if (features.channels !== channels || !mean || !directions) {
    return refuse("does not hold this model's features.");
  }
  const limits = { traits, features, space: { mean, directions, variances, rest } };
  return ({ original, features, ...file }) =>
    flagsOf({ traits: imageTraits(original, architecture.imageSize, file), features }, limits);
}

interface Limits extends Pick<Reference, "traits"> {
  features: Pick<Reference["features"], "distances" | "limit">;
  space: FeatureSpace;
}

function flagsOf({ traits, features }: Appearance, limits: Limits): Flag[] {
  const { ranges, limit } = limits.traits;
  const unusual = TRAITS.filter((name) => traitSpread(name, traits, ranges) > limit)
    .map((name) => TRAIT_RULES[name].flag);
  const distance = Math.log(featureDistance(features, limits.space));
  const isUnfamiliar = spreadsAway(distance, limits.features.distances) > limits.features.limit;
  return FLAGS.filter((flag) => flag === "unfamiliar" ? isUnfamiliar : unusual.includes(flag));
}

/** How many spreads a measure lies on its unusual side; 0 on the other one. */
function traitSpread(
  name: keyof ImageTraits,
  traits: ImageTraits,
  ranges: Reference["traits"]["ranges"],
): number {
  const away = spreadsAway(traits[name], ranges[name]);
  const { side } = TRAIT_RULES[name];
  return Math.max(0, side === "both" ? Math.abs(away) : side === "above" ? away : -away);
}

/** Numbers as little-endian 16-bit floats (IEEE 754 binary16) in base64. */
function packFloats(values: Float32Array): string {
  return new Uint8Array(new Float16Array(values).buffer).toBase64();
}

/** The inverse; `null` when there are not `count` numbers, or some are not finite. */
function unpackFloats(text: string, count: number): Float32Array | null {
  if (text.length !== 4 * Math.ceil(2 * count / 3)) return null; // before anything is allocated
  try {
    const values = new Float32Array(new Float16Array(Uint8Array.fromBase64(text).buffer));
    return values.length === count && values.every(Number.isFinite) ? values : null;
  } catch {
    return null;
  }
}

/** The median of some numbers, and how far they usually reach to each side, as standard deviations. */
type UsualRange = z.infer<typeof rangeSchema>;

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
function spreadsAway(value: number, { median, below, above }: UsualRange): number {
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
 * @param bounds Of the limit that is returned.
 * @returns `chance`: the one that holds.
 */
export function conformalLimit(
  values: readonly number[],
  share: number,
  { least, most } = { least: -Infinity, most: Infinity },
): { limit: number; chance: number } {
  const m = values.length;
  // rounding errors of (m + 1)(1 − share) must not raise it by one
  const rank = Math.min(m, Math.ceil((m + 1) * (1 - share) - 1e-9));
  const value = values.toSorted((a, b) => a - b)[rank - 1]!;
  return { limit: Math.min(most, Math.max(least, value)), chance: 1 - rank / (m + 1) };
}
