import { join } from "node:path";
import { parseConfig } from "../lib/core/config.ts";
import { DataError, ModelError } from "../lib/core/errors.ts";
import { exists, writeAll } from "../lib/core/files.ts";
import type { OnProgress } from "../lib/core/long_work.ts";
import { runPaths } from "../lib/core/paths.ts";
import { runTool, venvPython } from "../lib/core/python.ts";
import { listImages } from "../lib/data/list.ts";
import { KERAS_FILE, readKerasCard } from "../lib/model/keras_files.ts";
import { disposeModel } from "../lib/model/model.ts";
import { createPredictor, decodeOptions, predictImages } from "../lib/model/predict.ts";
import { loadModel } from "../lib/model/saved.ts";
import type { ModelCard } from "../lib/run/model_card.ts";
import { showProgress } from "../lib/show/display.ts";

const BATCH_SIZE = 32;

const script = join(import.meta.dirname!, "parity_keras.py");

/** Does what `deno task parity` was asked for, and prints what came out. @returns The exit code. */
export async function parity(
  request: { run: string; folder: string; most: number },
): Promise<number> {
  const modelFolder = runPaths(parseConfig({ run: request.run }).run).model;
  const result = await measureParity({ ...request, modelFolder }, showProgress("Predicting"));
  const { images, unreadable, difference, worst, tolerance, kerasVersion } = result;
  const isWithin = difference <= tolerance;
  console.log(
    `${images} images compared with Keras ${kerasVersion} (${unreadable} could not be read).\n` +
      `Largest difference of a probability: ${difference.toExponential(2)}, in ` +
      `${JSON.stringify(worst)}: ${
        isWithin ? "within" : "MORE THAN"
      } the ${tolerance} on the card.`,
  );
  return isWithin ? 0 : 1;
}

/**
 * Predicts images with a saved model here and with Python Keras from the exported file, on the same
 * decoded pixels. These go to a file, so that memory does not grow with their number.
 *
 * @param options `folder` of any images and `modelFolder` with a model.keras in it, absolute; `most`:
 *   images to compare at most, the first ones in code-point order.
 * @throws {ModelError} When the model or its Keras file is missing, damaged, or not of one training.
 * @throws {DataError} When the folder holds no readable image.
 * @throws {ToolError} When Python Keras fails.
 */
export async function measureParity(
  { folder, modelFolder, most }: { folder: string; modelFolder: string; most: number },
  onProgress?: OnProgress,
) {
  const { model, card } = await loadModel(modelFolder);
  const predictor = createPredictor(model, card.preprocessing);
  const scratch = await Deno.makeTempDir();
  try {
    const kerasFile = await requireExport(modelFolder, card);
    const names = (await listImages(folder)).paths.slice(0, most);
    const [pixelsPath, out] = [join(scratch, "pixels.bin"), join(scratch, "probabilities.bin")];
    using file = await Deno.open(pixelsPath, { write: true, create: true });
    const recorder: typeof predictor = {
      ...predictor,
      predictWithFeatures: async (pixels) => {
        await writeAll(file, pixels);
        return await predictor.predictWithFeatures(pixels);
      },
    };
    const read: string[] = [];
    const ours: number[] = []; // [n, classes]
    let done = 0;
    const paths = names.map((name) => join(folder, name));
    const options = { ...decodeOptions(card), batchSize: BATCH_SIZE };
    for await (const image of predictImages(recorder, paths, options)) {
      const name = names[done++]!;
      onProgress?.(done, names.length, name);
      if ("error" in image) continue;
      read.push(name);
      ours.push(...image.probabilities);
    }
    if (read.length === 0) {
      throw new DataError(`There is no readable image in ${folder}.`, "Name a folder of images.");
    }
    const kerasVersion = await runTool(venvPython, [script, kerasFile, pixelsPath, out]);
    const theirs = new Float32Array((await Deno.readFile(out)).buffer); // [n, classes]
    const { difference, index } = largestDifference(ours, theirs);
    return {
      images: read.length, // compared
      unreadable: names.length - read.length,
      difference, // the largest of one probability, 0 to 1
      worst: read[Math.floor(index / card.architecture.classes.length)]!, // the image that has it
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
  if (!await exists(path)) throw new ModelError(`${path} is not there.`, remedy, { file: path });
  if ((await readKerasCard(path)).weights.sha256 !== card.weights.sha256) {
    throw new ModelError(`${path} belongs to another training than model.json beside it.`, remedy, {
      file: path,
    });
  }
  return path;
}

/** Where two lists differ most; anything that is no number differs without limit. */
function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>) {
  let worst = { difference: -1, index: 0 };
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const apart = Math.abs(a[index]! - b[index]!);
    const difference = Number.isNaN(apart) ? Infinity : apart;
    if (difference > worst.difference) worst = { difference, index };
  }
  return worst;
}
