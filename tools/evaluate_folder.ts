import { readRunConfig } from "../lib/core/config.ts";
import { evaluateRun } from "../lib/evaluation/evaluate.ts";
import { parseFormats } from "../lib/evaluation/export.ts";
import { describeEvaluation } from "../lib/evaluation/results.ts";
import { parseShard } from "../lib/evaluation/work.ts";
import { runOf } from "../lib/run/run.ts";
import { showProgress } from "../lib/show/display.ts";
import type { EvaluateRequest } from "./evaluate.ts";

/**
 * Does what `deno task evaluate` was asked for, and prints what came out.
 *
 * @returns The exit code: that of an interrupted command when the person stopped it.
 * @throws {ConfigError} For a part or a format that there is not.
 */
export async function evaluateFolder(request: EvaluateRequest): Promise<number> {
  const { folder, followLinks, run, options: { shard, format, ...options } } = request;
  const runConfig = await readRunConfig(run);
  const { evaluation } = runConfig;
  const config = {
    ...runConfig,
    evaluation: { ...evaluation, folder, followLinks: followLinks || evaluation.followLinks },
  };
  const result = await evaluateRun(runOf(config), {
    ...options,
    ...(shard === undefined ? {} : { shard: parseShard(shard) }),
    ...(format === undefined ? {} : { formats: parseFormats(format) }),
    onProgress: showProgress("Classifying"),
  });
  for (const line of describeEvaluation(result)) console.log(line);
  if (result.priorShift) console.log(result.priorShift.text);
  return result.state === "stopped" ? 130 : 0;
}
