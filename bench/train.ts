import { join } from "node:path";
import { projectRoot } from "../lib/core/paths.ts";
import { textLines, venvPython } from "../lib/core/python.ts";
import { median } from "../lib/core/stats.ts";
import { writeCrops } from "./crops.ts";
import { type BenchRow, benchRow } from "./row.ts";

const [TRAIN, VALIDATION] = [320, 64];

const EPOCHS = 6;

const REPEATS = 3;

/** What one training took. */
interface Times {
  /** Seconds from the command to the end of the first batch. */
  firstBatch: number;
  /** Seconds of the first epoch, with all that comes before it but the start of the process. */
  firstEpoch: number;
  /** Median seconds of the other epochs, checkpoints included. */
  laterEpoch: number;
  /** Seconds from the command to the end of 25 epochs. */
  total: number;
  peakMegabytes: number;
}

type Program = "ours" | "plain" | "cached";

/**
 * The reference recipe (ResNet50, last 30 layers, batch 32, 224 px) on 320 training images, 700 × 730
 * RGBA PNG, over 6 epochs, beside Keras' plain `fit` and Keras on cached features, in turn. The time
 * of 25 epochs is that of these and 19 times the median later one. All start from the same
 * weights, which Keras wrote, and save the best model.
 */
export async function trainBench(): Promise<BenchRow[]> {
  const folder = await Deno.makeTempDir({ prefix: "glomeruli-bench-" });
  try {
    const weights = await prepare(folder, { train: TRAIN, validation: VALIDATION });
    const times: Record<Program, Times[]> = { ours: [], plain: [], cached: [] };
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      for (const program of ["ours", "plain", "cached"] as const) {
        times[program].push(await train(program, folder, weights, EPOCHS));
      }
    }
    const row = (name: string, field: keyof Times, peer: "plain" | "cached", target: number) =>
      benchRow({
        name: `${name}, beside ${peer} Keras`,
        unit: field === "peakMegabytes" ? "MB" : "s",
        ours: times.ours.map((time) => time[field]),
        peer: { name: `${peer} Keras`, values: times[peer].map((time) => time[field]) },
        target,
      });
    return [
      row("a later epoch", "laterEpoch", "plain", 0.4),
      row("a later epoch", "laterEpoch", "cached", 1),
      row("the first epoch with its extraction", "firstEpoch", "plain", 1),
      row("25 epochs", "total", "plain", 0.45),
      row("25 epochs", "total", "cached", 1),
      row("peak resident memory", "peakMegabytes", "plain", 0.8),
      row("from the command to the first batch", "firstBatch", "plain", 0.5),
    ];
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** An epoch at 8 times the images: its time an image, and its peak memory. */
export async function growthBench(): Promise<BenchRow[]> {
  const [few, many] = [500, 4000];
  const measured: Times[] = [];
  for (const images of [few, many]) {
    const folder = await Deno.makeTempDir({ prefix: "glomeruli-bench-" });
    try {
      const weights = await prepare(folder, { train: images, validation: VALIDATION });
      measured.push(await train("ours", folder, weights, 3));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  const [small, large] = measured as [Times, Times];
  return [
    benchRow({
      name: `a later epoch of ${many} images beside one of ${few}`,
      unit: "×",
      ours: [large.laterEpoch / small.laterEpoch],
      target: 8.4,
      note: `${small.laterEpoch.toFixed(1)} and ${large.laterEpoch.toFixed(1)} s`,
    }),
    benchRow({
      name: `peak resident memory with ${many} images beside ${few}`,
      unit: "×",
      ours: [large.peakMegabytes / small.peakMegabytes],
      target: 1.05,
      note: `${small.peakMegabytes.toFixed(0)} and ${large.peakMegabytes.toFixed(0)} MB`,
    }),
  ];
}

/** Writes images, no two with the same content, and starting weights; returns the weights' path. */
export async function prepare(
  folder: string,
  counts: { train: number; validation: number },
): Promise<string> {
  const drawn = join(folder, "drawn");
  await Deno.mkdir(drawn);
  const pictures = await Promise.all(
    (await writeCrops(drawn, 16, "png", 16)).map((path) => Deno.readFile(path)),
  );
  for (const [subset, count] of Object.entries(counts)) {
    for (const label of ["negative", "positive"]) {
      await Deno.mkdir(join(folder, subset, label), { recursive: true });
    }
    for (let i = 0; i < count; i++) {
      const picture = pictures[i % pictures.length]!;
      const bytes = new Uint8Array(picture.length + 8); // behind the end of a PNG nothing counts
      bytes.set(picture);
      bytes.set(new TextEncoder().encode(`${subset[0]}${i}`), picture.length);
      const label = i % 2 === 0 ? "negative" : "positive";
      await Deno.writeFile(join(folder, subset, label, `${i}.png`), bytes);
    }
  }
  const weights = join(folder, "start.weights.h5");
  const script = "import keras, sys; keras.utils.set_random_seed(1); keras.applications.ResNet50(" +
    "include_top=False, weights=None, input_shape=(224, 224, 3)).save_weights(sys.argv[1])";
  const { success } = await new Deno.Command(venvPython, {
    args: ["-c", script, weights],
    stdout: "null",
    stderr: "null",
  }).output();
  if (!success) throw new Error("Keras could not write the starting weights");
  return weights;
}

async function train(
  program: Program,
  folder: string,
  weights: string,
  epochs: number,
): Promise<Times> {
  for (const left of ["checkpoints", "features", "model"]) {
    await Deno.remove(join(folder, left), { recursive: true }).catch(() => {});
  }
  const [command, args] = program === "ours"
    ? [Deno.execPath(), ["run", "-A", "--no-check", join(import.meta.dirname!, "train_child.ts")]]
    : [venvPython, [join(import.meta.dirname!, "train.py"), program]];
  const start = performance.now();
  const child = new Deno.Command(command, {
    args: [...args, folder, weights, String(epochs)],
    cwd: projectRoot,
    env: { TF_CPP_MIN_LOG_LEVEL: "3", CUDA_VISIBLE_DEVICES: "" },
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let firstBatch = NaN;
  let result: { seconds: number; peak_megabytes: number } | null = null;
  const ends: number[] = [];
  for await (const line of textLines(child.stdout)) {
    const now = (performance.now() - start) / 1000;
    if (line === "batch") firstBatch = now;
    else if (line === "epoch") ends.push(now);
    else if (line.startsWith("{")) result = JSON.parse(line);
  }
  const total = (performance.now() - start) / 1000;
  await child.status;
  if (!result || ends.length !== epochs) throw new Error(`${program} did not train to its end`);
  const laterEpoch = median(ends.slice(1).map((end, i) => end - ends[i]!));
  return {
    firstBatch,
    firstEpoch: ends[0]! - (total - result.seconds),
    laterEpoch,
    total: total + (25 - epochs) * laterEpoch,
    peakMegabytes: result.peak_megabytes,
  };
}
