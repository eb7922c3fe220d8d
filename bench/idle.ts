import { tf } from "../lib/core/tensorflow.ts";
import { cutGraph } from "../lib/model/graph.ts";
import { createModel, disposeModel, frozenLayerCount } from "../lib/model/model.ts";
import {
  createFeatureExtractor,
  everyImage,
  type FeatureExtractor,
  featureSource,
} from "../lib/training/features.ts";
import { createTrainable, disposeTrainable, trainStep } from "../lib/training/trainable.ts";
import { writeCrops } from "./crops.ts";
import { type BenchRow, benchRow } from "./row.ts";

const IMAGES = 192;

const REPEATS = 3;

/**
 * How much of an epoch in which nothing is cached the model waits for images: 700 × 730 RGBA PNG
 * through ResNet50, of which the last 30 layers are trained. Everything counts as waiting but the
 * frozen part and the steps themselves.
 */
export async function idleBench(): Promise<BenchRow[]> {
  const folder = await Deno.makeTempDir();
  const classes = ["negative", "positive"];
  const model = createModel({ backbone: "resnet50", imageSize: 224, classes }, 1);
  const cut = cutGraph(model.graph, frozenLayerCount("resnet50", 30));
  const frozen = createFeatureExtractor(model, cut);
  const part = createTrainable(model, cut, frozen.shapes, "frozen");
  let busy = 0;
  const extractor: FeatureExtractor = {
    ...frozen,
    extract: (pixels) => {
      const start = performance.now();
      const features = frozen.extract(pixels); // TensorFlow has finished when it returns
      busy += performance.now() - start;
      return features;
    },
  };
  try {
    const images = (await writeCrops(folder, IMAGES, "png")).map((path) => ({ path, label: 0 }));
    const decode = { size: 224, resize: "squash", maxMegapixels: 100 } as const;
    const source = featureSource({ images, extractor, decode, cache: null });
    const shares: number[] = [];
    for (let repeat = -1; repeat < REPEATS; repeat++) { // the first one warms up
      let start = 0;
      for await (const batch of source(everyImage(IMAGES), 32)) {
        if (start > 0) {
          const stepStart = performance.now();
          const options = { learningRate: 1e-4, classWeights: [], random: null };
          await trainStep(part, batch, options);
          busy += performance.now() - stepStart;
        } else [start, busy] = [performance.now(), 0]; // filling the queue is not idling
        tf.dispose([...batch.features.values()]);
      }
      if (repeat >= 0) shares.push(1 - busy / (performance.now() - start));
    }
    return [
      benchRow({ name: "model idle in an epoch", unit: "share", ours: shares, target: 0.05 }),
    ];
  } finally {
    disposeTrainable(part);
    frozen.dispose();
    disposeModel(model);
    await Deno.remove(folder, { recursive: true });
  }
}
