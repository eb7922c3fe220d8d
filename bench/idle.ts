import { batches } from "../lib/images/batches.ts";
import { createModel, disposeModel } from "../lib/model/model.ts";
import { createPredictor } from "../lib/model/predictor.ts";
import { writeCrops } from "./crops.ts";
import { type BenchRow, benchRow } from "./row.ts";

const IMAGES = 192;
const REPEATS = 3;

/** How much of an epoch the model waits for images: 700 × 730 RGBA PNG through ResNet50. */
export async function idleBench(): Promise<BenchRow[]> {
  const folder = await Deno.makeTempDir();
  const classes = ["negative", "positive"];
  const model = createModel({ backbone: "resnet50", imageSize: 224, classes }, 1);
  const predictor = createPredictor(model);
  try {
    const items = (await writeCrops(folder, IMAGES, "png")).map((path) => ({ path, label: 0 }));
    const shares: number[] = [];
    for (let repeat = -1; repeat < REPEATS; repeat++) { // the first one warms up
      const options = { batchSize: 32, size: 224, resize: "squash", maxMegapixels: 100 } as const;
      const start = performance.now();
      let [waited, waitsSince, first] = [0, start, true];
      for await (const { pixels } of batches(items, options)) {
        if (!first) waited += performance.now() - waitsSince; // filling the queue is not idling
        first = false;
        await predictor.predict(pixels);
        waitsSince = performance.now();
      }
      if (repeat >= 0) shares.push(waited / (performance.now() - start));
    }
    return [
      benchRow({ name: "model idle in an epoch", unit: "share", ours: shares, target: 0.05 }),
    ];
  } finally {
    predictor.dispose();
    disposeModel(model);
    await Deno.remove(folder, { recursive: true });
  }
}
