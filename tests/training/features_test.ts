import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { TrainingError } from "../../lib/core/errors.ts";
import type { ConfigInput } from "../../lib/core/settings.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { augment } from "../../lib/images/augment.ts";
import { decodeImage } from "../../lib/images/decode.ts";
import { viewRandom } from "../../lib/images/views.ts";
import { openFeatureCache } from "../../lib/model/feature_cache.ts";
import { cutGraph } from "../../lib/model/graph.ts";
import { disposeModel, frozenLayerCount } from "../../lib/model/model.ts";
import type { LabelledFile } from "../../lib/run/split_file.ts";
import {
  createFeatureExtractor,
  everyImage,
  type FeatureExtractor,
  type FeatureSource,
  featureSource,
  hashFrozenPart,
  openSources,
} from "../../lib/training/features.ts";
import { inFolder, put } from "../data/test_images.ts";
import { SIZE, toyConfig, toyDecode, toyImages, type ToyJob, toyModel, toyTests } from "./toy.ts";

/** Values by layer, labels and sizes of the batches of two that a source gives for an order. */
async function collect(source: FeatureSource, order: number[]) {
  const values = new Map<string, number[]>();
  const [labels, batches]: [number[], number[]] = [[], []];
  for await (const batch of source(order.map((index) => ({ index, view: 1 })), 2)) {
    for (const [name, tensor] of batch.features) {
      values.set(name, [...values.get(name) ?? [], ...tensor.dataSync()]);
      tensor.dispose();
    }
    labels.push(...batch.labels);
    batches.push(batch.labels.length);
  }
  return { values, labels, batches };
}

Deno.test("featureSource() gives the same batches in any order, computed or from the cache", () =>
  inFolder(async (folder) => {
    const before = tf.memory().numTensors;
    const model = toyModel();
    const images = await toyImages(folder, 7, 3);
    const cut = cutGraph(model.graph, frozenLayerCount("resnet50", 30));
    const real = createFeatureExtractor(model, cut);
    const sizes = [...real.shapes.values()].map((shape) => shape.reduce((a, b) => a * b));
    const values = sizes.reduce((a, b) => a + b); // of one image
    let computed = 0;
    const extractor: FeatureExtractor = {
      ...real,
      extract: (pixels) => {
        computed += pixels.length / (3 * SIZE * SIZE);
        return real.extract(pixels);
      },
    };
    const cached = { folder: join(folder, "0".repeat(64)), values, diskBytes: 1e9 };
    const common = { images, extractor, decode: toyDecode };
    const order = [6, 0, 3, 3, 5];
    const plain = await collect(featureSource({ ...common, cache: null }), order);
    assert.deepEqual(plain.labels, order.map((index) => images[index]!.label));
    assert.deepEqual(plain.batches, [2, 2, 1]);
    assert.deepEqual([...plain.values.keys()], cut.boundary);
    assert.equal(computed, 5);

    const recordBytes = 2 * values;
    for (const [memoryBytes, expected] of [[1e9, 4], [0, 0], [2 * recordBytes, 0]] as const) {
      const cache = await openFeatureCache({ ...cached, memoryBytes }); // as another kernel does
      const source = featureSource({ ...common, cache });
      computed = 0;
      assert.deepEqual((await collect(source, [0, 3, 6, 5])).batches, [2, 2]);
      assert.equal(computed, expected);
      const kept = await collect(source, order);
      assert.equal(computed, expected);
      assert.deepEqual(kept.labels, plain.labels);
      for (const [name, values] of kept.values) {
        const other = plain.values.get(name)!;
        const scale = Math.max(...values.map(Math.abs));
        assert.ok(scale > 0, `${name} is not all zeros`);
        values.forEach((value, i) =>
          assert.ok(Math.abs(value - other[i]!) <= 2 ** -10 * scale, name)
        );
      }
      assert.equal(cache.problem(), null);
      await cache.close();
    }
    real.dispose();
    disposeModel(model);
    assert.equal(tf.memory().numTensors, before);
  }));

/** A frozen part that gives the first red value. */
const reds: FeatureExtractor = {
  shapes: new Map([["red", [1]]]),
  extract: (pixels) => {
    const length = 3 * SIZE * SIZE;
    const values = Array.from({ length: pixels.length / length }, (_, i) => pixels[i * length]!);
    return new Map([["red", tf.tensor2d(values, [values.length, 1])]]);
  },
  dispose: () => {},
};

Deno.test("featureSource() ends with the name of an image that vanishes, breaks or changes", () =>
  inFolder(async (folder) => {
    const images = await toyImages(folder, 9, 3);
    const { path } = images[5]!;
    for (
      const [damage, reason] of [
        [() => Deno.remove(path), /./],
        [() => put(folder, "3-5.png", "broken"), /has changed since notebook 02/],
        [() => Deno.copyFile(images[4]!.path, path), /has changed since notebook 02/],
      ] as const
    ) {
      await damage();
      const source = featureSource({ images, extractor: reds, decode: toyDecode, cache: null });
      let batches = 0;
      await assert.rejects(async () => {
        for await (const { features } of source(everyImage(9), 2)) {
          tf.dispose([...features.values()]);
          batches += 1;
        }
      }, { name: "ImageError", path, reason });
      assert.equal(batches, 2, "the batches before it are whole");
    }
  }));

Deno.test("featureSource() reads only a few batches ahead, and stops with its consumer", () =>
  inFolder(async (folder) => {
    const images = await toyImages(folder, 8, 3);
    let reads = 0;
    const many = new Proxy(Array.from({ length: 4000 }, (_, i) => images[i % 8]!), {
      get(target, key, receiver) {
        if (typeof key === "string" && /^\d+$/.test(key)) reads++;
        return Reflect.get(target, key, receiver);
      },
    });
    const source = featureSource({ images: many, extractor: reds, decode: toyDecode, cache: null });
    let batches = 0;
    for await (const { features } of source(everyImage(4000), 4)) {
      tf.dispose([...features.values()]);
      if (++batches === 6) break;
    }
    const after = reads;
    assert.ok(after < 100, `${after} images were touched for 24`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(reads, after);
  }));

Deno.test("featureSource() keeps values to 11 bits and refuses those that 16 bits cannot hold", () =>
  inFolder(async (folder) => {
    const images = await toyImages(folder, 2, 3);
    const sourceOf = (...values: number[]) =>
      featureSource({
        images,
        extractor: {
          shapes: new Map([["a", [2]], ["b", [1, 2]]]),
          extract: () => new Map([["a", tf.tensor2d(values, [2, 2])], ["b", tf.ones([2, 1, 2])]]),
          dispose: () => {},
        },
        decode: toyDecode,
        cache: null,
      });
    const before = tf.memory().numTensors;
    const { values } = await collect(sourceOf(1 / 3, -65504, 0, 1e-8), [0, 1]);
    assert.deepEqual(values.get("a"), [new Float16Array([1 / 3])[0], -65504, 0, 0]);
    assert.deepEqual(values.get("b"), [1, 1, 1, 1]);
    for (const value of [NaN, Infinity, 1e5]) {
      await assert.rejects(collect(sourceOf(1, value, 0, 0), [0, 1]), TrainingError);
    }
    assert.equal(tf.memory().numTensors, before);
  }));

Deno.test("hashFrozenPart() is another one where anything is that the outputs depend on", async () => {
  const model = toyModel();
  const cutAt = (unfrozen: number) => cutGraph(model.graph, frozenLayerCount("resnet50", unfrozen));
  const hash = await hashFrozenPart(model, cutAt(30), toyDecode);
  assert.match(hash, /^[0-9a-f]{64}$/);
  assert.equal(await hashFrozenPart(model, cutAt(30), { ...toyDecode }), hash);
  const others = [
    await hashFrozenPart(model, cutAt(20), toyDecode),
    await hashFrozenPart(model, cutAt(30), { ...toyDecode, resize: "letterbox" }),
  ];
  const bias = model.weights.get("conv1_conv/bias")!;
  model.weights.set("conv1_conv/bias", bias.add(1e-3));
  bias.dispose();
  others.push(await hashFrozenPart(model, cutAt(30), toyDecode));
  assert.equal(new Set([hash, ...others]).size, 4);
  const head = model.weights.get("predictions/bias")!;
  model.weights.set("predictions/bias", head.add(1));
  head.dispose();
  assert.equal(await hashFrozenPart(model, cutAt(30), toyDecode), others[2]);
  disposeModel(model);
});

const augmentation = {
  symmetries: true,
  rotation: 15,
  brightness: 0.1,
  stain: 0.2,
  jpegQuality: 60,
  cutOut: 0.2,
};

/** A test with 14 training images, a third of them positive, and 6 validation images. */
const test = toyTests(toyModel(), { train: 14, validation: 6 });

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

test("openSources() augments training images alone, and every view is another", async (toy) => {
  const { config, sources, read } = await spiedSources(toy, {
    training: { augmentation, cachedViews: 0 },
  });
  const plain = { train: await decoded(toy.train), validation: await decoded(toy.validation) };
  const draws = [{ index: 3, view: 1 }, { index: 0, view: 2 }, { index: 3, view: 2 }];
  const views = await read(sources.train, draws);
  const expected = draws.map(async ({ index, view }) => {
    const { pixels } = await decodeImage(toy.train[index]!.path, toyDecode);
    const random = viewRandom(config.seed, view, toy.train[index]!.sha256!);
    return digest(await augment(pixels, SIZE, config.training.augmentation, random));
  });
  assert.deepEqual(views, await Promise.all(expected));
  assert.equal(new Set([...views, ...plain.train]).size, 3 + toy.train.length);
  assert.deepEqual(await read(sources.train, draws.toReversed()), views.toReversed());
  const all = everyImage(toy.validation.length);
  assert.deepEqual(await read(sources.validation, all), plain.validation);
  assert.deepEqual(await read(sources.validation, all), [], "they are kept");
  await sources.cache.close();
});

test("openSources() keeps as many views an image as training.cachedViews says, in turn", async (toy) => {
  const change = { training: { augmentation, cachedViews: 2 } };
  const { sources, read } = await spiedSources(toy, change);
  const drawn = (view: number) => [{ index: 5, view }, { index: 2, view }];
  const [first, second] = [
    await read(sources.train, drawn(1)),
    await read(sources.train, drawn(2)),
  ];
  assert.equal(new Set([...first, ...second]).size, 4);
  assert.deepEqual(await read(sources.train, drawn(3)), [], "the first view again, from the cache");
  await sources.cache.close();
  const again = await spiedSources(toy, change);
  assert.deepEqual(await again.read(again.sources.train, drawn(4)), [], "in another kernel too");
  await again.sources.cache.close();
  const fold = await spiedSources({ ...toy, train: toy.train.toReversed() }, change);
  const elsewhere = drawn(4).map((draw) => ({ ...draw, index: toy.train.length - 1 - draw.index }));
  assert.deepEqual(await fold.read(fold.sources.train, elsewhere), [], "wherever the image stands");
  await fold.sources.cache.close();
  const other = await spiedSources(toy, { ...change, seed: 7 });
  assert.equal((await other.read(other.sources.train, drawn(1))).length, 2);
  await other.sources.cache.close();
});

test("openSources() gives training images as they are where augmentation is off, and without a cache", async (toy) => {
  const change = { training: { cacheMegabytes: 0, cacheGigabytes: 0 } };
  const { sources, read } = await spiedSources(toy, change);
  assert.equal(sources.cache.problem(), null);
  for (let epoch = 1; epoch < 3; epoch++) {
    const all = await read(sources.train, everyImage(toy.train.length));
    assert.deepEqual(all, await decoded(toy.train));
  }
  assert.match(sources.cache.problem()!, /training.cacheGigabytes/);
  await sources.cache.close();
});
