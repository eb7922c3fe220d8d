import type { Config } from "../config_schema.ts";
import { writeAtomic } from "../files.ts";
import { modelCardMarkdown, type ModelTest } from "../model/model_card_markdown.ts";
import type { ModelCard } from "../model/model_card.ts";
import { runPaths } from "../paths.ts";
import type { TestResult } from "./test_run.ts";

/**
 * Writes the model card for people, model/RUN/model_card.md, with the test scores.
 *
 * @param test Of notebook 06, by the model of `card`.
 */
export async function writeModelCard(
  { run }: Pick<Config, "run">,
  card: ModelCard,
  { scores, reads }: Pick<TestResult, "scores" | "reads">,
): Promise<void> {
  const test: ModelTest = { scores, reads: reads.count };
  await writeAtomic(runPaths(run).modelCardText, modelCardMarkdown(card, test));
}
