import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import type { ConfigInput } from "../../lib/core/settings.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { augment } from "../../lib/images/augment.ts";
import { decodeImage, epochDraws } from "../../lib/images/decode.ts";
import { viewRandom } from "../../lib/images/views.ts";
import { cutGraph } from "../../lib/model/graph.ts";
import { frozenLayerCount } from "../../lib/model/model.ts";
import type { LabelledFile } from "../../lib/run/split_file.ts";
import {
  createFeatureExtractor,
  everyImage,
  type FeatureSource,
  featureSource,
  openSources,
} from "../../lib/training/features.ts";
import { createTrainable, disposeTrainable, trainStep } from "../../lib/training/trainable.ts";
import { SIZE, toyConfig, toyDecode, type ToyJob, toyModel, toyTests, trainToy } from "./toy.ts";

const model = toyModel();

const augmentation = {
  symmetries: true,
  rotation: 15,
  brightness: 0.1,
  stain: 0.2,
  jpegQuality: 60,
  cutOut: 0.2,
};

/** A test with 14 training images, a third of them positive, and 6 validation images. */
const withToy = toyTests(model, { train: 14, validation: 6 });

/** Equal just for the same pixels. */
function digest(pixels: Uint8Array): string {
  return createHash("sha1").update(pixels).digest("hex");
}

/** Each image's pixels. */
async function decoded(items: readonly LabelledFile[]): Promise<string[]> {
  return await Promise.all(
    items.map(async ({ path }) => digest((await decodeImage(path, toyDecode)).pixels)),
  );
}

/** The sources of a training whose frozen part is a spy: it notes the pixels it is given. */
async function spiedSources({ folder, train, validation }: ToyJob, change: ConfigInput) {
  const seen: string[] = [];
  const length = SIZE * SIZE * 3;
  const extractor = {
    shapes: new Map([["feature", [1]]]),
    extract: (pixels: Uint8Array) => {
      const count = pixels.length / length;
      for (let i = 0; i < count; i++) {
        seen.push(digest(pixels.subarray(i * length, (i + 1) * length)));
      }
      return new Map([["feature", tf.zeros([count, 1])]]);
    },
    dispose: () => {},
  };
  const config = toyConfig(change);
  const sources = await openSources(
    { config, decode: toyDecode, train, validation },
    extractor,
    join(folder, "features", "0".repeat(64)),
  );
  const read = async (source: FeatureSource, draws: { index: number; view: number }[]) => {
    seen.length = 0;
    for await (const { features } of source(draws, 4)) tf.dispose([...features.values()]);
    return [...seen];
  };
  return { config, sources, read };
}

Deno.test(
  "openSources() augments training images alone, and every view is another",
  withToy(async (toy) => {
    const { config, sources, read } = await spiedSources(toy, { training: { augmentation } });
    const plain = { train: await decoded(toy.train), validation: await decoded(toy.validation) };
    const draws = [{ index: 3, view: 1 }, { index: 0, view: 2 }, { index: 3, view: 2 }];
    const views = await read(sources.train, draws);
    const expected = draws.map(async ({ index, view }) => {
      const { pixels } = await decodeImage(toy.train[index]!.path, toyDecode);
      const random = viewRandom(config.seed, view, index);
      return digest(await augment(pixels, SIZE, config.training.augmentation, random));
    });
    assert.deepEqual(views, await Promise.all(expected));
    assert.equal(new Set([...views, ...plain.train]).size, 3 + toy.train.length);
    assert.deepEqual(await read(sources.train, draws.toReversed()), views.toReversed());
    const all = everyImage(toy.validation.length);
    assert.deepEqual(await read(sources.validation, all), plain.validation);
    assert.deepEqual(await read(sources.validation, all), [], "they are kept");
    await sources.cache.close();
  }),
);

Deno.test(
  "openSources() keeps as many views an image as training.cachedViews says, in turn",
  withToy(async (toy) => {
    const change = { training: { augmentation, cachedViews: 2 } };
    const { sources, read } = await spiedSources(toy, change);
    const drawn = (view: number) => [{ index: 5, view }, { index: 2, view }];
    const [first, second] = [
      await read(sources.train, drawn(1)),
      await read(sources.train, drawn(2)),
    ];
    assert.equal(new Set([...first, ...second]).size, 4);
    assert.deepEqual(
      await read(sources.train, drawn(3)),
      [],
      "the first view again, from the cache",
    );
    await sources.cache.close();
    const again = await spiedSources(toy, change);
    assert.deepEqual(await again.read(again.sources.train, drawn(4)), [], "in another kernel too");
    await again.sources.cache.close();
    const other = await spiedSources(toy, { ...change, seed: 7 });
    assert.equal((await other.read(other.sources.train, drawn(1))).length, 2);
    await other.sources.cache.close();
  }),
);

Deno.test(
  "openSources() gives training images as they are where augmentation is off, and without a cache",
  withToy(async (toy) => {
    const change = { training: { cacheMegabytes: 0, cacheGigabytes: 0 } };
    const { sources, read } = await spiedSources(toy, change);
    assert.equal(sources.cache.problem(), null);
    for (let epoch = 1; epoch < 3; epoch++) {
      const all = await read(sources.train, everyImage(toy.train.length));
      assert.deepEqual(all, await decoded(toy.train));
    }
    assert.match(sources.cache.problem()!, /training.cacheGigabytes/);
    await sources.cache.close();
  }),
);

Deno.test(
  "fit() with augmentation leaks no tensor and gives the same history again, after a kill too",
  withToy(async (toy) => {
    const before = tf.memory().numTensors;
    const change = { training: { augmentation, sampling: "balanced" as const } };
    const run = (name: string, more: Partial<ToyJob> = {}) =>
      trainToy({ ...toy, checkpoints: join(toy.folder, name), change, ...more });
    const whole = await run("whole");
    assert.deepEqual(await run("again"), whole);
    const killed = run("killed", {
      onEpoch: (history) => {
        if (history.length === 2) throw new Error("killed");
      },
    });
    await assert.rejects(killed, /killed/);
    const resumed = await run("killed");
    assert.equal(resumed.resumedFrom, 2);
    assert.deepEqual({ ...resumed, resumedFrom: 0 }, whole);
    const plain = await run("plain", { change: { training: { sampling: "balanced" } } });
    assert.notEqual(plain.history[0]!.loss, whole.history[0]!.loss);
    assert.equal(tf.memory().numTensors, before);
  }),
);

Deno.test(
  "fit() trains on the balanced draw of an epoch, last partial batch included",
  withToy(async (toy) => {
    const change: ConfigInput = { training: { epochs: 1, sampling: "balanced" } };
    const { history } = await trainToy({ ...toy, change });
    const { seed, training } = toyConfig(change);
    const labels = toy.train.map(({ label }) => label);
    const draws = epochDraws(labels, { seed, epoch: 1, sampling: "balanced" });
    // the same epoch by hand
    const cut = cutGraph(model.graph, frozenLayerCount("resnet50", 0));
    const extractor = createFeatureExtractor(model, cut);
    const part = createTrainable(model, cut, extractor.shapes, "frozen");
    const source = featureSource({ images: toy.train, extractor, decode: toyDecode, cache: null });
    let [sum, positive, step] = [0, 0, 0];
    for await (const batch of source(draws, training.batchSize)) {
      const { learningRate } = training;
      const random = createRandom(`${seed}/dropout/1/${++step}`);
      const { loss } = await trainStep(part, batch, { learningRate, classWeights: [], random });
      sum += loss * batch.labels.length;
      positive += batch.labels.filter((label) => label === 1).length;
      tf.dispose([...batch.features.values()]);
    }
    disposeTrainable(part);
    extractor.dispose();
    assert.deepEqual([draws.length, positive], [14, 7]);
    const { loss } = history[0]!;
    assert.ok(Math.abs(loss - sum / 14) < 1e-5, `${loss} and ${sum / 14}`);
  }),
);
