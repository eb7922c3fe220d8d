import { join } from "node:path";
import { DataError, ImageError, ModelError } from "../lib/core/errors.ts";
import { exists, writeAll } from "../lib/core/files.ts";
import { runTool, venvPython } from "../lib/core/terminal.ts";
import { mapAhead, type OnProgress } from "../lib/core/stop.ts";
import { listImages } from "../lib/data/list.ts";
import { DECODES_IN_FLIGHT } from "../lib/data/open_image.ts";
import { decodeImage } from "../lib/images/decode.ts";
import { KERAS_FILE, readKerasCard } from "../lib/model/keras_files.ts";
import { disposeModel } from "../lib/model/model.ts";
import { createPredictor, decodeOptions } from "../lib/model/predict.ts";
import { loadModel } from "../lib/model/saved.ts";
import type { ModelCard } from "../lib/run/model_card.ts";

const BATCH_SIZE = 32;

const script = join(import.meta.dirname!, "parity_keras.py");

/** How far this project and Python Keras are apart on the same pixels. */
export interface Parity {
  /** Images compared. */
  images: number;
  /** Images that could not be read, and so were not. */
  unreadable: number;
  /** Largest absolute difference of one probability, 0 to 1. */
  difference: number;
  /** Path of the image that has it, relative to the folder. */
  worst: string;
  /** The model's own `parity.tolerance`. */
  tolerance: number;
  /** Of the Python package that was asked. */
  kerasVersion: string;
}

/** What {@linkcode measureParity} compares. */
export interface ParityOptions {
  /** Absolute path of any images. */
  folder: string;
  /** Absolute path of a model folder with a model.keras in it. */
  modelFolder: string;
  /** Images to compare at most: the first ones in code-point order. */
  most: number;
  onProgress?: OnProgress;
}

/**
 * Predicts images with a saved model here and with Python Keras from the exported file, on the same
 * decoded pixels.
 *
 * @throws {ModelError} When the model or its Keras file is missing, damaged, or not of one training.
 * @throws {DataError} When the folder holds no readable image.
 * @throws {ToolError} When Python Keras fails.
 */
export async function measureParity(options: ParityOptions): Promise<Parity> {
  const { folder, modelFolder } = options;
  const { model, card } = await loadModel(modelFolder);
  const predictor = createPredictor(model, card.preprocessing);
  const scratch = await Deno.makeTempDir();
  try {
    const kerasFile = await requireExport(modelFolder, card);
    const names = (await listImages(folder)).paths.slice(0, options.most);
    const pixelsPath = join(scratch, "pixels.bin");
    const { read, ours } = await predictHere(predictor.predict, card, pixelsPath, names, options);
    if (read.length === 0) {
      throw new DataError(`There is no readable image in ${folder}.`, "Name a folder of images.");
    }
    const out = join(scratch, "probabilities.bin");
    const kerasVersion = await runTool(venvPython, [script, kerasFile, pixelsPath, out]);
    const theirs = new Float32Array((await Deno.readFile(out)).buffer); // [n, classes]
    const worst = largestDifference(ours, theirs);
    return {
      images: read.length,
      unreadable: names.length - read.length,
      difference: worst.difference,
      worst: read[Math.floor(worst.index / card.architecture.classes.length)]!,
      tolerance: card.parity.tolerance,
      kerasVersion: kerasVersion.trim(),
    };
  } finally {
    predictor.dispose();
    disposeModel(model);
    await Deno.remove(scratch, { recursive: true });
  }
}

async function requireExport(modelFolder: string, card: ModelCard): Promise<string> {
  const path = join(modelFolder, KERAS_FILE);
  const remedy = "Run notebook 05 again; it writes this file at its end.";
  if (!await exists(path)) throw new ModelError(`${path} is not there.`, remedy);
  if ((await readKerasCard(path)).weights.sha256 !== card.weights.sha256) {
    throw new ModelError(`${path} belongs to another training than model.json beside it.`, remedy);
  }
  return path;
}

/** Decodes and predicts; the pixels go to a file, so that memory does not grow with their number. */
async function predictHere(
  predict: (pixels: Uint8Array) => Promise<Float32Array>,
  card: ModelCard,
  pixelsPath: string,
  names: readonly string[],
  { folder, onProgress }: ParityOptions,
): Promise<{ read: string[]; ours: number[] }> {
  const options = decodeOptions(card);
  const { size } = options;
  const read: string[] = [];
  const ours: number[] = []; // [n, classes]
  let waiting: Uint8Array[] = [];
  using file = await Deno.open(pixelsPath, { write: true, create: true });
  const flush = async () => {
    const batch = new Uint8Array(waiting.length * size * size * 3); // [n, size, size, 3]
    waiting.forEach((pixels, row) => batch.set(pixels, row * size * size * 3));
    await writeAll(file, batch);
    ours.push(...await predict(batch));
    waiting = [];
  };
  const decode = (name: string) =>
    decodeImage(join(folder, name), options).catch((error) => {
      if (error instanceof ImageError) return null;
      throw error;
    });
  const decoded = mapAhead(names, decode, { inFlight: DECODES_IN_FLIGHT, ahead: 2 * BATCH_SIZE });
  let done = 0;
  for await (const image of decoded) {
    const name = names[done++]!;
    onProgress?.(done, names.length, name);
    if (image === null) continue;
    read.push(name);
    waiting.push(image.pixels);
    if (waiting.length === BATCH_SIZE) await flush();
  }
  if (waiting.length > 0) await flush();
  return { read, ours };
}

/** Where two lists differ most; anything that is no number differs without limit. */
function largestDifference(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
): { difference: number; index: number } {
  let worst = { difference: -1, index: 0 };
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const apart = Math.abs(a[index]! - b[index]!);
    const difference = Number.isNaN(apart) ? Infinity : apart;
    if (difference > worst.difference) worst = { difference, index };
  }
  return worst;
}
