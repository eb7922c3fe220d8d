import assert from "node:assert/strict";
import { cutGraph } from "../../lib/model/cut.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { frozenLayerCount } from "../../lib/model/stages.ts";
import { tf } from "../../lib/setup/tensorflow.ts";
import {
  createFeatureExtractor,
  featureBytes,
  type FeatureSource,
  holdFeatures,
  streamFeatures,
} from "../../lib/training/features.ts";
import { inFolder } from "../data/test_images.ts";
import { SIZE, toyImages, toyModel } from "./toy.ts";

Deno.test("holdFeatures() and streamFeatures() give the same batches in any order", () =>
  inFolder(async (folder) => {
    const before = tf.memory().numTensors;
    const model = toyModel();
    const images = await toyImages(folder, 7, 3);
    const cut = cutGraph(model.graph, frozenLayerCount("resnet50", 30));
    const extractor = createFeatureExtractor(model, cut);
    const options = {
      images,
      extractor,
      decode: { size: SIZE, resize: "squash" as const, maxMegapixels: 1 },
    };
    const progress: number[] = [];
    const held = await holdFeatures({
      ...options,
      batchSize: 3,
      onProgress: (done) => void progress.push(done),
    });
    assert.deepEqual(progress, [3, 6, 7]);
    const streamed = streamFeatures(options);
    const order = [6, 0, 3, 3, 5];
    const [a, b] = [await collect(held, order), await collect(streamed, order)];
    assert.deepEqual(a.labels, order.map((index) => images[index]!.label));
    assert.deepEqual([a.labels, a.batches, held.count], [b.labels, [2, 2, 1], streamed.count]);
    assert.deepEqual([...a.values.keys()], cut.boundary);
    for (const [name, values] of a.values) {
      const other = b.values.get(name)!;
      const scale = Math.max(...values.map(Math.abs));
      assert.ok(scale > 0, `${name} is not all zeros`);
      values.forEach((value, i) => assert.ok(Math.abs(value - other[i]!) < 1e-5 * scale, name));
    }
    const perImage = [...a.values.values()].reduce((sum, values) => sum + values.length, 0) / 5;
    assert.equal(featureBytes(extractor.shapes), 4 * perImage);
    extractor.dispose();
    disposeModel(model);
    assert.equal(tf.memory().numTensors, before);
  }));

async function collect(source: FeatureSource, order: number[]) {
  const values = new Map<string, number[]>();
  const [labels, batches]: [number[], number[]] = [[], []];
  for await (const batch of source.read(order.map((index) => ({ index, view: 1 })), 2)) {
    for (const [name, tensor] of batch.features) {
      values.set(name, [...values.get(name) ?? [], ...tensor.dataSync()]);
      tensor.dispose();
    }
    labels.push(...batch.labels);
    batches.push(batch.labels.length);
  }
  return { values, labels, batches };
}
