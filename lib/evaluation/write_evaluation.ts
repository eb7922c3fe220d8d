import { writeCsv } from "../csv.ts";
import type { Evaluation } from "./evaluate_folder.ts";

/** The three files of an evaluation. */
export interface EvaluationFiles {
  /** `name,ground_truth`: one row a readable image. */
  evaluation: string;
  /** One row a readable image, with probability and decision. */
  details: string;
  /** `name,error`: one row an image that could not be read. */
  errors: string;
}

/** The files' paths: details and errors lie beside the main one, with its name. */
export function evaluationFiles(evaluation: string): EvaluationFiles {
  const stem = evaluation.replace(/\.csv$/i, "");
  return { evaluation, details: `${stem}_details.csv`, errors: `${stem}_errors.csv` };
}

/** Writes the three files, each atomically; evaluation.csv last, so that it speaks for all. */
export async function writeEvaluation(
  files: EvaluationFiles,
  { images, errors }: Pick<Evaluation, "images" | "errors">,
): Promise<void> {
  await writeCsv(files.errors, ["name", "error"], errors);
  await writeCsv(
    files.details,
    ["name", "predicted", "probability", "confidence", "decision", "group", "flags"],
    images.map((image) => ({ ...image })),
  );
  await writeCsv(
    files.evaluation,
    ["name", "ground_truth"],
    images.map(({ name, predicted }) => ({ name, ground_truth: predicted })),
  );
}
