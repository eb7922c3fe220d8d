import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import sharp from "sharp";
import { merge, parseConfig } from "../../lib/core/config.ts";
import { sha256File } from "../../lib/core/files.ts";
import { createRandom } from "../../lib/core/random.ts";
import type { Config, ConfigInput } from "../../lib/core/settings.ts";
import { type TensorFlow, tf } from "../../lib/core/tensorflow.ts";
import { epochDraws } from "../../lib/images/decode.ts";
import { preprocess } from "../../lib/model/forward.ts";
import {
  type Architecture,
  backbones,
  createModel,
  estimateMoments,
  type Model,
} from "../../lib/model/model.ts";
import type { HistoryRow } from "../../lib/run/history.ts";
import { certifySplit, writeCertificate } from "../../lib/run/split_certificate.ts";
import { type LabelledFile, type SplitRow, SUBSETS, writeSplit } from "../../lib/run/split_file.ts";
import { featureSource } from "../../lib/training/features.ts";
import { fit, type TrainingJob, type TrainingResult } from "../../lib/training/fit.ts";
import { cutModel, trainStep, withWeights } from "../../lib/training/trainable.ts";
import { inProjectCopy, type OfConfig, ofConfig, type ProjectCopy } from "../copy_project.ts";
import { inFolder } from "../data/test_images.ts";

/** Side of the toy model's input: the least that there is, for speed. */
export const SIZE = 32;

const architecture: Architecture = {
  backbone: "resnet50",
  imageSize: SIZE,
  classes: parseConfig({}).data.classes,
};

/** A network of random weights whose activations stay finite; by default a ResNet50. */
export function toyModel(change: Partial<Architecture> = {}): Model {
  const model = createModel({ ...architecture, ...change }, 1);
  const { backbone, imageSize } = model.architecture;
  const noise = createRandom("moments");
  const pixels = Uint8Array.from({ length: 16 * imageSize ** 2 * 3 }, () => noise.integer(256));
  const images = preprocess(pixels, imageSize, backbones[backbone].preprocessing);
  estimateMoments(model, images);
  images.dispose();
  return model;
}

/** Writes images that even a random network tells apart: a third are reddish (1), others bluish. */
export async function toyImages(
  folder: string,
  n: number,
  seed: number,
): Promise<Required<LabelledFile>[]> {
  const random = createRandom(`toy/${seed}`);
  const items: Required<LabelledFile>[] = [];
  for (let i = 0; i < n; i++) {
    const label = i % 3 === 0 ? 1 : 0;
    const colour = label === 1 ? [170, 80, 100] : [90, 90, 170];
    const pixels = Uint8Array.from(
      { length: SIZE * SIZE * 3 },
      (_, p) => Math.max(0, Math.min(255, colour[p % 3]! + 40 * random.normal())),
    );
    const path = join(folder, `${seed}-${i}.png`);
    await sharp(pixels, { raw: { width: SIZE, height: SIZE, channels: 3 } }).png().toFile(path);
    items.push({ path, label, sha256: await sha256File(path) });
  }
  return items;
}

/** What a toy training is made of, and what is different about it. */
export interface ToyJob extends Partial<TrainingJob> {
  folder: string;
  model: Model;
  train: readonly LabelledFile[];
  validation: readonly LabelledFile[];
  /** Laid over the toy's config: the head alone, 3 epochs, batches of 8, images as they are. */
  change?: ConfigInput;
}

/** How toy images are read. */
export const toyDecode = { size: SIZE, resize: "squash", maxMegapixels: 1 } as const;

/** Declares tests that need so many toy images, in a folder of their own. */
export function toyTests(model: Model, count: { train: number; validation: number }) {
  return (name: string, body: (toy: ToyJob) => Promise<void>) =>
    Deno.test(name, () =>
      inFolder(async (folder) => {
        const train = await toyImages(folder, count.train, 1);
        const validation = await toyImages(folder, count.validation, 2);
        await body({ folder, model, train, validation });
      }));
}

/** The config of a toy training. */
export function toyConfig(change: ConfigInput = {}): Config {
  return parseConfig(merge({
    model: { imageSize: SIZE, unfreezeLast: 0 },
    training: { epochs: 3, batchSize: 8, learningRate: 1e-3, augmentation: "none" },
  }, change));
}

/** Digests of the weights' bits, by name: equal just where every bit is. */
export function bitsOf(weights: ReadonlyMap<string, TensorFlow.Tensor>): Map<string, string> {
  return new Map([...weights].map(([name, tensor]) => {
    const { buffer, byteOffset, byteLength } = tensor.dataSync() as Float32Array;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    return [name, createHash("sha1").update(bytes).digest("hex")];
  }));
}

/** What is left of a toy training, with all tensors freed. */
export interface ToyResult
  extends Pick<TrainingResult, "events" | "bestEpoch" | "resumedFrom" | "interrupted"> {
  /** Without the seconds, which are never the same. */
  history: Omit<HistoryRow, "seconds">[];
  /** All weights of the resulting model, as {@linkcode bitsOf}. */
  weights: Map<string, string>;
}

/** Trains, and frees what the training leaves. */
export async function trainToy({ folder, change, ...job }: ToyJob): Promise<ToyResult> {
  const result = await fit({
    decode: toyDecode,
    config: toyConfig(change),
    checkpoints: join(folder, "checkpoints"),
    features: join(folder, "features"),
    fingerprint: "toy",
    onBest: () => Promise.resolve(),
    ...job,
  });
  const weights = bitsOf(withWeights(job.model, result.trained).weights);
  tf.dispose([...result.trained.values()]);
  const { events, bestEpoch, resumedFrom, interrupted } = result;
  const history = result.history.map(({ seconds: _seconds, ...row }) => row);
  return { history, events, bestEpoch, resumedFrom, interrupted, weights };
}

/** Two epochs of warm-up, then one with the last block unfrozen. */
export const WARM_UP = {
  model: { unfreezeLast: 10 },
  training: {
    epochs: 3,
    warmupEpochs: 2,
    warmupLearningRate: 1e-3,
    learningRate: 1e-5,
    batchNorm: "trained",
    reduceLROnPlateau: { patience: 1, minDelta: 100 },
  },
} as const;

/** A training that its callbacks act upon: the validation labels are wrong, so it only gets worse. */
export function withWrongValidation(toy: ToyJob): ToyJob {
  const validation = toy.validation.map((image) => ({ ...image, label: 1 - image.label }));
  const change = {
    training: { epochs: 5, reduceLROnPlateau: { patience: 1 }, earlyStopping: { patience: 4 } },
  };
  return { ...toy, validation, change };
}

/** The same job with checkpoints of its own. */
export function apart(toy: ToyJob, name: string) {
  return { ...toy, checkpoints: join(toy.folder, name) };
}

/** Trains until it is killed: after this epoch, unless the job says otherwise. */
export async function killed(job: ToyJob, epoch = Infinity): Promise<void> {
  const onEpoch: TrainingJob["onEpoch"] = (history) => {
    if (history.length === epoch) throw new Error("killed");
  };
  await assert.rejects(trainToy({ onEpoch, ...job }), /killed/);
}

/** The first epoch of a toy training by hand: each drawn image's label and unweighted loss. */
export async function firstEpoch({ model, train, change }: ToyJob) {
  const config = toyConfig(change);
  const { seed, training: { sampling, batchSize, learningRate } } = config;
  const { extractor, part, dispose } = cutModel(model, config);
  const source = featureSource({ images: train, extractor, cache: null, decode: toyDecode });
  const draws = epochDraws(train.map(({ label }) => label), { seed, epoch: 1, sampling });
  const seen: { label: number; loss: number }[] = [];
  let step = 0;
  for await (const batch of source(draws, batchSize)) {
    const random = createRandom(`${seed}/dropout/1/${++step}`);
    const options = { learningRate, classWeights: [], random };
    const { probabilities } = await trainStep(part, batch, options);
    batch.labels.forEach((label, row) => {
      seen.push({ label, loss: -Math.log(probabilities[2 * row + label]!) });
    });
    tf.dispose([...batch.features.values()]);
  }
  dispose();
  return seen;
}

/** The class folders of a toy project. */
export const CLASSES = ["negative", "positive"];

const BACKBONE = "efficientnet_lite0";

type Training = typeof import("../../lib/training/training.ts");

type Find = typeof import("../../lib/training/learning_rate.ts").findLearningRate;

/** A project whose notebooks 02 and 03 have been run on 30 toy images. */
export interface ToyProject extends ProjectCopy {
  /** The run's config with changes laid over it: 2 epochs of the head alone, in batches of 8. */
  config: (change?: ConfigInput) => Config;
  trainRun: OfConfig<Training["trainRun"]>;
  findLearningRate: OfConfig<Find>;
}

/** Writes the split of the default run with its certificate, as notebook 03 does. */
export async function writeToySplit(root: string, rows: readonly SplitRow[]): Promise<void> {
  const manifest = rows.map(({ subset: _, ...row }) => {
    return { ...row, dhash: "", width: 32, height: 32, channels: 3, format: "png", status: "ok" };
  });
  const certificate = certifySplit(rows, manifest, [], null);
  await writeSplit(join(root, "results/default/split.csv"), rows);
  await writeCertificate(join(root, "results/default/split_certificate.json"), certificate);
}

/** Declares a test in a {@linkcode ToyProject} of its own. */
export function testToyProject(name: string, body: (project: ToyProject) => Promise<void>): void {
  Deno.test(name, () =>
    inProjectCopy(async ({ root, load }) => {
      await Deno.mkdir(join(root, "data/toy"), { recursive: true });
      const items = await toyImages(join(root, "data/toy"), 30, 1);
      const rows = items.map(({ path, label, sha256 }, i): SplitRow => ({
        path: path.slice(join(root, "data/").length),
        label: CLASSES[label]!,
        group: `${i}`,
        sha256,
        subset: SUBSETS[Math.floor(i / 3) % 3]!,
      }));
      await writeToySplit(root, rows);
      const config = (change: ConfigInput = {}) =>
        parseConfig(merge({
          data: { folder: "data", classes: CLASSES },
          model: { backbone: BACKBONE, weights: "random", imageSize: SIZE, unfreezeLast: 0 },
          training: { epochs: 2, batchSize: 8, augmentation: "none" },
        }, change));
      const [trainRun, findLearningRate] = await Promise.all([
        ofConfig<Training["trainRun"]>({ load }, "lib/training/training.ts", "trainRun"),
        ofConfig<Find>({ load }, "lib/training/learning_rate.ts", "findLearningRate"),
      ]);
      await body({ root, load, config, trainRun, findLearningRate });
    }));
}
