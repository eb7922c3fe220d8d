import { ImageError } from "../core/errors.ts";
import { mapAhead, type OnProgress } from "../core/long_work.ts";
import type { Config } from "../core/settings.ts";
import { nativeBackend, tf } from "../core/tensorflow.ts";
import { SYMMETRIES } from "../data/look.ts";
import { applySymmetry } from "../images/augment.ts";
import {
  type DecodedImage,
  decodeImage,
  type DecodeOptions,
  DECODES_AHEAD,
} from "../images/decode.ts";
import { type ImageTraits, imageTraits } from "../images/traits.ts";
import { logProbability, softmax } from "../run/decision.ts";
import type { ModelCard } from "../run/model_card.ts";
import { foldRows, members, splitContents, type SplitRow, type Subset } from "../run/split_file.ts";
import { FEATURE_LAYER, memberName, ofMember, OUTPUT_LAYER } from "./architectures.ts";
import { foldBatchNorms, forward, preprocess, type Preprocessing } from "./forward.ts";
import { backbones, INPUT_LAYER, type Model } from "./model.ts";
import type { RunModel } from "./saved.ts";

/** A model made ready for prediction. */
export interface Predictor {
  /**
   * Class probabilities of a batch of RGB pixels [n, size, size, 3].
   *
   * @returns Row-major [n, classes]; each row sums to 1.
   */
  predict(pixels: Uint8Array): Promise<Float32Array>;
  /**
   * As `predict`, from the same pass with the features (the backbone's last feature map, averaged over
   * its places, row-major [n, channels]) and what each member of a model of folds says by itself.
   */
  predictWithFeatures(pixels: Uint8Array): Promise<PredictedBatch>;
  /** Frees what was made for prediction; the model itself stays. */
  dispose(): void;
}

/** Of n images, row-major: [n, classes], [n, channels], and [n, classes] of each member, if any. */
interface PredictedBatch {
  probabilities: Float32Array;
  features: Float32Array;
  members: Float32Array[];
}

/** Images that a processor predicts at once: 32 need 400 MB more, for 5 to 7 % less time. */
const AT_ONCE = 8;

/**
 * Folds a model's BatchNorms once and predicts with the result.
 *
 * @param preprocessing From the model's card where it was loaded; else its backbone's own.
 * @param options.consume Frees the model's weights that folding replaces, which halves the memory:
 *   the model is then good for nothing but to be disposed.
 */
export function createPredictor(
  model: Model,
  preprocessing: Preprocessing = backbones[model.architecture.backbone].preprocessing,
  { consume = false }: { consume?: boolean } = {},
): Predictor {
  const free = (layers: string[]) => {
    for (const [name, weight] of model.weights) {
      if (!layers.includes(name.split("/")[0]!)) continue;
      weight.dispose();
      model.weights.delete(name);
    }
  };
  const folded = foldBatchNorms(model.graph, model.weights, consume ? free : undefined);
  const { imageSize } = model.architecture;
  const atOnce = imagesAtOnce(AT_ONCE) * imageSize ** 2 * 3;
  const run = async (pixels: Uint8Array, outputs: string[]) => {
    const parts: Float32Array[][] = outputs.map(() => []);
    for (let start = 0; start < pixels.length; start += atOnce) {
      const tensors = tf.tidy(() => {
        const images = preprocess(pixels.subarray(start, start + atOnce), imageSize, preprocessing);
        return forward(folded.graph, folded.weights, new Map([[INPUT_LAYER, images]]), outputs)
          .map((tensor, i) => ofMember(outputs[i]!) ? tensor.softmax() : tensor);
      });
      try {
        for (const [i, tensor] of tensors.entries()) {
          parts[i]!.push(await tensor.data() as Float32Array);
        }
      } finally {
        tf.dispose(tensors);
      }
    }
    return parts.map((values) => Float32Array.from(values.flatMap((part) => [...part])));
  };
  return {
    predict: async (pixels) => (await run(pixels, [OUTPUT_LAYER]))[0]!,
    predictWithFeatures: async (pixels) => {
      const { members = 0 } = model.architecture.ensemble ?? {};
      const own = Array.from({ length: members }, (_, i) => memberName(i, OUTPUT_LAYER));
      const all = await run(pixels, [OUTPUT_LAYER, FEATURE_LAYER, ...own]);
      const [probabilities, features, ...rest] = all as [Float32Array, Float32Array];
      return { probabilities, features, members: rest };
    },
    dispose: folded.dispose,
  };
}

/**
 * How many images a network takes in one pass. On a processor fewer at once bound the peak of memory
 * and cost little; a graphics card takes all that it is given.
 *
 * @param onProcessor At most so many where there is no graphics card.
 */
export function imagesAtOnce(onProcessor: number): number {
  return nativeBackend().isUsingGpuDevice ? Infinity : onProcessor;
}

/**
 * A predictor as the model's card asks for it: alone, or as the mean over the symmetries.
 *
 * @param options See {@linkcode createPredictor}.
 */
export function cardPredictor(
  model: Model,
  { preprocessing, decision, architecture }: ModelCard,
  options: { consume?: boolean } = {},
): Predictor {
  const predictor = createPredictor(model, preprocessing, options);
  return decision.testTimeAugmentation
    ? averageSymmetries(predictor, architecture.imageSize)
    : predictor;
}

/**
 * A predictor whose probabilities are the means over the eight turned and mirrored copies of each
 * image (Krizhevsky, Sutskever & Hinton 2012): a crop has no up and down, so neither should a
 * prediction. It takes eight times as long. Probabilities become less extreme, so calibration and
 * threshold must be chosen with it too. Features are those of the image as it is.
 *
 * @param predictor Does the work, and is disposed with the result.
 * @param size Side of the images, in pixels.
 */
export function averageSymmetries(predictor: Predictor, size: number): Predictor {
  /** Means over the symmetries of what is predicted: one array of probabilities, or several. */
  const average = async (
    pixels: Uint8Array,
    first: Float32Array[],
    predict: (turned: Uint8Array) => Promise<Float32Array[]>,
  ): Promise<Float32Array[]> => {
    const sums = first.map((values) => Float64Array.from(values));
    const length = size * size * 3;
    const turned = new Uint8Array(pixels.length); // [n, size, size, 3]
    for (let symmetry = 1; symmetry < SYMMETRIES.length; symmetry++) {
      for (let start = 0; start < pixels.length; start += length) {
        turned.set(applySymmetry(pixels.subarray(start, start + length), size, symmetry), start);
      }
      const values = await predict(turned);
      values.forEach((own, a) => own.forEach((value, i) => sums[a]![i]! += value));
    }
    return sums.map((own) => Float32Array.from(own, (sum) => sum / SYMMETRIES.length));
  };
  return {
    predict: async (pixels) => {
      const predict = async (turned: Uint8Array) => [await predictor.predict(turned)];
      return (await average(pixels, await predict(pixels), predict))[0]!;
    },
    predictWithFeatures: async (pixels) => {
      const predict = async (turned: Uint8Array) => {
        const { probabilities, members } = await predictor.predictWithFeatures(turned);
        return [probabilities, ...members];
      };
      const { features, ...first } = await predictor.predictWithFeatures(pixels);
      const given = [first.probabilities, ...first.members];
      const [probabilities, ...members] = await average(pixels, given, predict);
      return { probabilities: probabilities!, features, members };
    },
    dispose: predictor.dispose,
  };
}

/** An image that was classified, with what the model saw and made of it. */
export interface PredictedImage extends Omit<DecodedImage, "pixels"> {
  path: string;
  /** One a class, in the model's order; they sum to 1. */
  probabilities: number[];
  /** Of the backbone: [channels]. */
  features: Float32Array;
  /** Class probabilities by each member of a model of folds; none for a single network. */
  members: number[][];
}

/** How {@linkcode predictImages} reads and groups. */
export interface PredictOptions extends DecodeOptions {
  batchSize: number;
  /** SHA-256 of what files must hold, by path; others may hold anything. */
  contents?: ReadonlyMap<string, string>;
}

/** How images have to be read for a saved model: as those it was trained on. */
export function decodeOptions({ architecture, preprocessing }: ModelCard): DecodeOptions {
  const { resize, stain, maxMegapixels } = preprocessing;
  return { size: architecture.imageSize, resize, stain, maxMegapixels };
}

/**
 * Classifies image files, decoding the next ones meanwhile. Memory does not grow with their number.
 *
 * @param paths Absolute.
 * @returns One result a path, in their order; an unreadable image is a result, not an end.
 */
export async function* predictImages(
  predictor: Predictor,
  paths: Iterable<string>,
  { batchSize, contents, ...options }: PredictOptions,
): AsyncGenerator<PredictedImage | UnreadableImage, void, void> {
  const decode = (path: string): Promise<Decoded | UnreadableImage> =>
    decodeImage(path, options, contents?.get(path)).then(
      (image) => ({ path, ...image }),
      (error) => {
        if (error instanceof ImageError) return { path, error };
        throw error;
      },
    );
  const decoded = mapAhead(paths, decode, { inFlight: DECODES_AHEAD, ahead: 4 * batchSize });
  let waiting: (Decoded | UnreadableImage)[] = [];
  for await (const image of decoded) {
    waiting.push(image);
    if (waiting.length < batchSize) continue;
    yield* await predictBatch(predictor, waiting);
    waiting = [];
  }
  yield* await predictBatch(predictor, waiting);
}

type Decoded = DecodedImage & { path: string };

type UnreadableImage = { path: string; error: ImageError };

async function predictBatch(
  predictor: Predictor,
  images: readonly (Decoded | UnreadableImage)[],
): Promise<(PredictedImage | UnreadableImage)[]> {
  const readable = images.filter((image) => "pixels" in image);
  const n = readable.length;
  if (n === 0) return images as UnreadableImage[];
  const length = readable[0]!.pixels.length;
  const batch = new Uint8Array(n * length); // [n, size, size, 3]
  readable.forEach(({ pixels }, row) => batch.set(pixels, row * length));
  const { probabilities, features, members } = await predictor.predictWithFeatures(batch);
  const rowOf = (values: Float32Array, row: number) =>
    values.subarray(row * values.length / n, (row + 1) * values.length / n);
  let row = 0;
  return images.map((image) => {
    if ("error" in image) return image;
    const { pixels: _, ...rest } = image;
    const at = row++;
    return {
      ...rest,
      probabilities: [...rowOf(probabilities, at)],
      features: rowOf(features, at),
      members: members.map((values) => [...rowOf(values, at)]),
    };
  });
}

/** What an image looks like to a person and to the model: compared with those of its training. */
export interface Appearance {
  traits: ImageTraits;
  /** Of the backbone: [channels]. */
  features: Float32Array;
}

/** An image of the split with what the model says of it. */
export interface RowPrediction extends Pick<SplitRow, "path" | "label" | "group"> {
  /** As the model gives them, not calibrated: one a class. */
  probabilities: number[];
  /** The fold that it was tested in, by {@linkcode predictOutOfFold}. */
  fold?: string;
  /** Where it was asked for. */
  appearance?: Appearance;
}

/**
 * Predicts the images of one subset, in the order of the split, as the model's card asks for it.
 *
 * @param options.withAppearance Adds what the model's reference is fitted to, from the same pass.
 * @throws {ImageError} When an image cannot be read, or is another one than the split was made of: a
 *   score over other images is another score.
 */
export async function predictSubset(
  { model, card, split }: RunModel,
  subset: Subset,
  config: Config,
  onProgress?: OnProgress,
  options: { withAppearance?: boolean } = {},
): Promise<RowPrediction[]> {
  const rows = split.filter((row) => row.subset === subset);
  const predictor = cardPredictor(model, card);
  try {
    return await predictRows(predictor, card, rows, config, { ...options, onProgress });
  } finally {
    predictor.dispose();
  }
}

/**
 * Predicts the images of all folds, each by the members that it tests: those never saw its patient or
 * slide. Where folds were dealt several times it is the mean of their log odds.
 *
 * @throws {ImageError} See {@linkcode predictSubset}.
 */
export async function predictOutOfFold(
  { model, card, split }: RunModel,
  config: Config,
  onProgress?: OnProgress,
): Promise<RowPrediction[]> {
  const rows = foldRows(split);
  const testedBy = new Map<string, number[]>(rows.map(({ path }) => [path, []]));
  for (const [i, { test }] of members(split).entries()) {
    for (const { path } of test) testedBy.get(path)!.push(i);
  }
  const predictor = cardPredictor(model, card);
  const choose: Choose = ({ members }, { path }) =>
    meanLogOdds(testedBy.get(path)!.map((i) => members[i]!));
  try {
    const withAppearance = rows.length <= MOST_APPEARANCES;
    const options = { withAppearance, onProgress, choose };
    const predicted = await predictRows(predictor, card, rows, config, options);
    return predicted.map((row, i) => ({ ...row, fold: rows[i]!.subset }));
  } finally {
    predictor.dispose();
  }
}

/** Images whose features are kept, in memory 5 to 8 kB each; what needs them takes fewer. */
const MOST_APPEARANCES = 10_000;

/** The probabilities whose logarithms are the means of several ones', up to a constant. */
function meanLogOdds(several: readonly (readonly number[])[]): number[] {
  if (several.length === 1) return [...several[0]!];
  return softmax(
    several[0]!.map((_, k) =>
      several.reduce((sum, row) => sum + logProbability(row[k]!), 0) / several.length
    ),
  );
}

/** Which probabilities of an image count: by default the model's own. */
type Choose = (image: PredictedImage, row: SplitRow) => number[];

/** As {@linkcode predictSubset}, of any rows and by a given predictor. */
export async function predictRows(
  predictor: Predictor,
  card: ModelCard,
  rows: readonly SplitRow[],
  config: Config,
  { withAppearance, onProgress, choose = ({ probabilities }) => probabilities }: {
    withAppearance?: boolean;
    onProgress?: OnProgress | undefined;
    choose?: Choose;
  },
): Promise<RowPrediction[]> {
  const contents = splitContents(rows, config);
  const options = { ...decodeOptions(card), batchSize: config.training.batchSize, contents };
  const predictions: RowPrediction[] = [];
  for await (const result of predictImages(predictor, contents.keys(), options)) {
    if ("error" in result) throw result.error;
    const row = rows[predictions.length]!;
    const { path, label, group } = row;
    const { original, features } = result;
    const probabilities = choose(result, row);
    const appearance = withAppearance && {
      traits: imageTraits(original, options.size, result),
      features: Float32Array.from(features), // a copy: those of a batch share one array
    };
    predictions.push({ path, label, group, probabilities, ...appearance && { appearance } });
    onProgress?.(predictions.length, rows.length, path);
  }
  return predictions;
}
