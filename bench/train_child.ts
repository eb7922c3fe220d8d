import { join } from "node:path";
import { memoryUsage, resourceUsage } from "node:process";
import { parseConfig } from "../lib/core/config.ts";
import { sha256File } from "../lib/core/files.ts";
import { tf } from "../lib/core/tensorflow.ts";
import { listImages } from "../lib/data/list.ts";
import { disposeModel } from "../lib/model/model.ts";
import { saveModel } from "../lib/model/saved.ts";
import { startingModel } from "../lib/model/start.ts";
import { fit } from "../lib/training/fit.ts";
import { testCard } from "../tests/model/model_card.ts";

const [folder, weights, epochs] = Deno.args as [string, string, string];

const started = performance.now();

const classes = ["negative", "positive"];

const config = parseConfig({
  data: { classes },
  model: { weights },
  training: {
    epochs: Number(epochs),
    earlyStopping: { patience: Number(epochs) },
    augmentation: "none", // Keras, beside which it runs, has none
  },
});

const decode = { size: 224, resize: "squash", maxMegapixels: 100 } as const;

async function itemsOf(subset: string) {
  const { paths } = await listImages(join(folder, subset));
  return await Promise.all(paths.map(async (name) => {
    const path = join(folder, subset, name);
    return { path, label: classes.indexOf(name.split("/")[0]!), sha256: await sha256File(path) };
  }));
}

const { model } = await startingModel(config, [], { fallBack: false, decode });

const { architecture } = model;

let batches = 0;

const result = await fit({
  model,
  train: await itemsOf("train"),
  validation: await itemsOf("validation"),
  decode,
  config,
  checkpoints: join(folder, "checkpoints"),
  features: join(folder, "features"),
  fingerprint: "bench",
  onBest: async (best) => void await saveModel(join(folder, "model"), best, testCard(architecture)),
  onEpoch: () => console.log("epoch"),
  onProgress: () => {
    if (batches++ === 1) console.log("batch");
  },
});

tf.dispose([...result.trained.values()]);

disposeModel(model);

const megabytes = 1 / 1024;

console.log(JSON.stringify({
  seconds: (performance.now() - started) / 1000,
  peak_megabytes: Math.max(resourceUsage().maxRSS * megabytes, memoryUsage().rss / 2 ** 20),
}));
