import type { Config } from "../config_schema.ts";
import { fromRoot, runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { evaluateFolder, type Evaluation } from "./evaluate_folder.ts";
import { type EvaluationFiles, evaluationFiles, writeEvaluation } from "./write_evaluation.ts";

/**
 * Section 7: classifies the images of `evaluation.folder` with the run's saved model and writes
 * evaluation.csv, its details and its errors.
 *
 * @param options.out Absolute path of the main file; default results/RUN/evaluation.csv.
 * @throws {ModelError} When the run has no usable model.
 * @throws {DataError} When the folder is missing or holds no image.
 */
export async function evaluateRun(
  config: Config,
  options: { out?: string; onProgress?: OnProgress } = {},
): Promise<Evaluation & { files: EvaluationFiles }> {
  const paths = runPaths(config.run);
  const files = evaluationFiles(options.out ?? paths.evaluation);
  const evaluation = await evaluateFolder({
    folder: fromRoot(config.evaluation.folder),
    modelFolder: paths.model,
    ...(options.onProgress ? { onProgress: options.onProgress } : {}),
  });
  await writeEvaluation(files, evaluation);
  return { ...evaluation, files };
}
