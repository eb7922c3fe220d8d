import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { sha256File } from "../../lib/core/files.ts";
import type { Config } from "../../lib/core/settings.ts";
import { saveKeras } from "../../lib/model/keras_files.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { saveModel } from "../../lib/model/saved.ts";
import { type SplitRow, SUBSETS, writeSplit } from "../../lib/run/split_file.ts";
import { inProjectCopy } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";
import { testCard } from "../model/model_card.ts";
import { smallModel } from "../model/small_model.ts";

type ChooseDecision = typeof import("../../lib/metrics/decision.ts");

type TestRun = typeof import("../../lib/metrics/test.ts");

/** Classes of the run. */
export const CLASSES: [string, string] = ["negative", "positive"];

/** A run of 24 images and a model that knows their split; a third of them are for testing. */
export interface SmallRun {
  root: string;
  config: Config;
  rows: SplitRow[];
  chooseDecision: ChooseDecision["chooseDecision"];
  testRun: TestRun["testRun"];
  testModel: TestRun["testModel"];
}

/** Runs a test in a {@linkcode SmallRun} of its own. */
export function withRun(
  test: (run: SmallRun) => Promise<void>,
  { keras = false } = {},
): () => Promise<void> {
  return () =>
    inProjectCopy(async ({ root, load }) => {
      const { testRun, testModel } = await load<TestRun>("lib/metrics/test.ts");
      const { chooseDecision } = await load<ChooseDecision>("lib/metrics/decision.ts");
      const rows: SplitRow[] = [];
      for (let i = 0; i < 24; i++) {
        const label = CLASSES[(i + 1) % 2]!; // the random model is then better than chance
        const path = `${label}/=${i},"x".png`;
        await put(root, `data/${path}`, await picture(i, 40, 40).png().toBuffer());
        const subset = SUBSETS[Math.floor(i / 2) % 3]!;
        const sha256 = await sha256File(join(root, "data", path));
        rows.push({ path, label, group: `g${i}`, sha256, subset });
      }
      const split = join(root, "results/default/split.csv");
      await writeSplit(split, rows);
      const model = smallModel(CLASSES);
      const folder = join(root, "model/default");
      const draft = testCard(model.architecture);
      const card = await saveModel(folder, model, {
        ...draft,
        data: { ...draft.data, splitSha256: await sha256File(split) },
      });
      if (keras) await saveKeras(folder, model, card);
      disposeModel(model);
      const config = parseConfig({ data: { classes: CLASSES }, training: { batchSize: 3 } });
      await test({ root, config, rows, testRun, testModel, chooseDecision });
    });
}
