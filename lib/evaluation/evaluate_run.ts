import type { Config } from "../config_schema.ts";
import { fromRoot, runPaths } from "../paths.ts";
import { evaluateFolder } from "./evaluate_folder.ts";
import { readTestSample } from "./test_sample.ts";
import type { Evaluation, EvaluationOptions } from "./evaluation.ts";

/** What {@linkcode evaluateRun} can be told beside the config. */
export type RunOptions = Partial<
  Pick<
    EvaluationOptions,
    "out" | "shard" | "merge" | "force" | "formats" | "sidecar" | "onProgress"
  >
>;

/**
 * Section 7: classifies the images of `evaluation.folder` with the run's saved model and writes
 * evaluation.csv, its details and its errors. See {@linkcode evaluateFolder}.
 *
 * @param options.out Absolute path of the main file; default results/RUN/evaluation.csv.
 * @returns Counts and some rows to be shown; never all of them.
 * @throws {ModelError} When the run has no usable model.
 * @throws {DataError} When the folder is missing or holds no image, or results would be written into
 *   it or over those of another.
 */
export async function evaluateRun(config: Config, options: RunOptions = {}): Promise<Evaluation> {
  const paths = runPaths(config.run);
  const isOwnData = fromRoot(config.evaluation.folder) === fromRoot(config.data.folder);
  return await evaluateFolder({
    ...options,
    // the images that the model was trained on would be no test of it
    internal: isOwnData ? undefined : (card) => readTestSample(paths, card, config.seed),
    out: options.out ?? paths.evaluation,
    folder: fromRoot(config.evaluation.folder),
    followLinks: config.evaluation.followLinks,
    modelFolder: paths.model,
    priorShift: config.evaluation.priorShift,
  });
}
