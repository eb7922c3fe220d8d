import { join } from "node:path";
import { mapAhead } from "../lib/core/long_work.ts";
import { projectRoot } from "../lib/core/paths.ts";
import { venvPython } from "../lib/core/python.ts";
import { decodeImage, DECODES_AHEAD } from "../lib/images/decode.ts";
import { saveKeras } from "../lib/model/keras_files.ts";
import { createModel, disposeModel, type Model } from "../lib/model/model.ts";
import { createPredictor, predictImages } from "../lib/model/predict.ts";
import { saveModel } from "../lib/model/saved.ts";
import { testCard } from "../tests/model/model_card.ts";
import { writeCrops } from "./crops.ts";
import { type BenchRow, benchRow } from "./row.ts";

const IMAGES = 256;

const REPEATS = 3;

const BATCH = 32;

const DECODE = { size: 224, resize: "squash", maxMegapixels: 100 } as const;

/**
 * A folder of 700 × 730 RGBA PNG to evaluation.csv with ResNet50, from command to end, beside Keras on
 * the same weights; and how much of that is neither decoding nor the model.
 */
export async function predictBench(): Promise<BenchRow[]> {
  const root = await Deno.makeTempDir({ prefix: "glomeruli-bench-" });
  const classes = ["negative", "positive"];
  const model = createModel({ backbone: "resnet50", imageSize: DECODE.size, classes }, 1);
  try {
    const [folder, modelFolder] = [join(root, "images"), join(root, "model")];
    await Deno.mkdir(folder);
    const paths = await writeCrops(folder, IMAGES, "png", 16);
    const card = await saveModel(modelFolder, model, testCard(model.architecture));
    await saveKeras(modelFolder, model, card);
    const [ours, keras]: [Run[], Run[]] = [[], []];
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      const child = ["run", "-A", "--no-check", join(import.meta.dirname!, "predict_child.ts")];
      const out = join(root, `ours ${repeat}`, "evaluation.csv");
      ours.push(await time(Deno.execPath(), [...child, modelFolder, folder, out]));
      const script = join(import.meta.dirname!, "predict.py");
      const file = join(modelFolder, "model.keras");
      keras.push(await time(venvPython, [script, file, folder, join(root, "keras.csv")]));
    }
    const row = (name: string, unit: string, field: keyof Run, target: number) =>
      benchRow({
        name,
        unit,
        ours: ours.map((run) => run[field]),
        peer: { name: "Keras", values: keras.map((run) => run[field]) },
        target,
      });
    const { together, apart } = await timeParts(model, paths);
    return [
      row(`${IMAGES} PNG files to CSV`, "s", "seconds", 1),
      row("peak resident memory of that", "MB", "megabytes", 0.8),
      benchRow({
        name: "prediction of a file",
        unit: "ms",
        ours: together,
        peer: { name: "decoding alone + model alone", values: apart },
        target: 1.1,
        note: `${(1000 / Math.min(...together)).toFixed(1)} images a second at best`,
      }),
    ];
  } finally {
    disposeModel(model);
    await Deno.remove(root, { recursive: true });
  }
}

interface Run {
  seconds: number;
  megabytes: number;
}

/** Wall-clock time of a command that prints its peak memory last. */
async function time(command: string, args: string[]): Promise<Run> {
  const start = performance.now();
  const { success, stdout } = await new Deno.Command(command, {
    args,
    cwd: projectRoot,
    env: { TF_CPP_MIN_LOG_LEVEL: "3", CUDA_VISIBLE_DEVICES: "" },
    stderr: "null",
  }).output();
  if (!success) throw new Error(`${args.join(" ")} failed`);
  const seconds = (performance.now() - start) / 1000;
  return { seconds, megabytes: Number(new TextDecoder().decode(stdout).trim().split("\n").at(-1)) };
}

/** Milliseconds an image: predicted from files; and decoded, then predicted, each with all cores. */
async function timeParts(
  model: Model,
  paths: readonly string[],
): Promise<{ together: number[]; apart: number[] }> {
  const predictor = createPredictor(model);
  const [together, apart]: [number[], number[]] = [[], []];
  const perImage = (start: number) => (performance.now() - start) / paths.length;
  for (let repeat = -1; repeat < REPEATS; repeat++) { // the first one warms up
    const start = performance.now();
    for await (const image of predictImages(predictor, paths, { ...DECODE, batchSize: BATCH })) {
      if ("error" in image) throw image.error;
    }
    const both = perImage(start);

    const pixels: Uint8Array[] = [];
    const decodeStart = performance.now();
    const pace = { inFlight: DECODES_AHEAD, ahead: 2 * DECODES_AHEAD };
    for await (const image of mapAhead(paths, (path) => decodeImage(path, DECODE), pace)) {
      pixels.push(image.pixels);
    }
    const decoding = perImage(decodeStart);

    const modelStart = performance.now();
    for (let i = 0; i < pixels.length; i += BATCH) {
      const images = pixels.slice(i, i + BATCH);
      const batch = new Uint8Array(images.length * images[0]!.length); // [n, 224, 224, 3]
      images.forEach((image, row) => batch.set(image, row * image.length));
      await predictor.predict(batch);
    }
    if (repeat < 0) continue;
    together.push(both);
    apart.push(decoding + perImage(modelStart));
  }
  predictor.dispose();
  return { together, apart };
}
