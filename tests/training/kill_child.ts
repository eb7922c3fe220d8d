import { join } from "node:path";
import { createModel } from "../../lib/model/model.ts";
import { SIZE, trainToy } from "./toy.ts";

const [folder, checkpoints] = Deno.args as [string, string];

const items = JSON.parse(await Deno.readTextFile(join(folder, "items.json")));

const classes = ["negative", "positive"];

const model = createModel({ backbone: "efficientnet_lite0", imageSize: SIZE, classes }, 1);

let begun = false;

const { history, events, bestEpoch } = await trainToy({
  ...items,
  folder,
  model,
  checkpoints: join(folder, checkpoints),
  change: {
    data: { classes },
    model: { backbone: "efficientnet_lite0", unfreezeLast: 3 },
    training: {
      epochs: 60,
      batchSize: 4,
      checkpoint: { minutes: 0.0005 }, // every 30 ms, so that epochs are saved half-way too
      reduceLROnPlateau: { patience: 5 },
      earlyStopping: { patience: 60 },
    },
  },
  onProgress: () => {
    if (!begun) console.log("begun");
    begun = true;
  },
});

console.log(JSON.stringify({ history, events, bestEpoch }));
