import { z } from "zod";
import { readCsv } from "../csv.ts";
import { exists, readJson } from "../files.ts";
import { positiveClass } from "../metrics/positive_class.ts";
import type { ScoredSample } from "../metrics/scores.ts";
import type { ModelCard } from "../model/model_card.ts";
import type { RunPaths } from "../paths.ts";
import { readSplit } from "../split/split.ts";

const metricsSchema = z.object({
  test_reads: z.object({
    readers: z.array(z.object({ weights_sha256: z.string() })).min(1),
  }),
});

/**
 * The test images of a run with the model's answers, as notebook 06 left them.
 *
 * @returns `null` when there are none of this model: notebook 06 has not been run since it was trained.
 * @throws {DataError} When a file of notebook 06 or the split is damaged.
 */
export async function readTestSample(
  { metrics, predictionsTest, split }: Pick<RunPaths, "metrics" | "predictionsTest" | "split">,
  { architecture, weights }: Pick<ModelCard, "architecture" | "weights">,
  seed: string | number,
): Promise<ScoredSample | null> {
  const remedy = "Run notebook 06 again; it writes this file.";
  for (const path of [metrics, predictionsTest, split]) if (!await exists(path)) return null;
  const { data } = metricsSchema.safeParse(await readJson(metrics, remedy));
  if (data?.test_reads.readers.at(-1)?.weights_sha256 !== weights.sha256) return null;
  const rows = await readCsv(
    predictionsTest,
    ["path", "label", "predicted", "probability"],
    remedy,
  );
  const groups = new Map((await readSplit(split)).map(({ path, group }) => [path, group]));
  const { indexOf } = positiveClass(architecture.classes);
  return {
    labels: rows.map(({ label }) => indexOf(label)),
    predicted: rows.map(({ predicted }) => indexOf(predicted)),
    probabilities: rows.map(({ probability }) => Number(probability)),
    groups: rows.map(({ path }) => groups.get(path) ?? path),
    seed,
  };
}
