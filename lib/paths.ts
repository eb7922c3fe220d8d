import { join, resolve } from "node:path";

/** The folder that holds deno.json. Relative paths in the config are meant from here. */
export const projectRoot: string = resolve(import.meta.dirname!, "..");

/** A path from the config, made absolute: relative ones are meant from the project's folder. */
export function fromRoot(path: string): string {
  return resolve(projectRoot, path);
}

/** A person's own labels, in the data folder. */
export const LABELS_FILE = "labels.csv";

/** Outputs of frozen layers, which all runs share. */
export const FEATURES_FOLDER: string = join(projectRoot, "results", ".cache", "features");

/** Where a run's files are: see the table "Files that pass between them" in the README. */
export interface RunPaths {
  results: string;
  model: string;
  config: string;
  manifest: string;
  audit: string;
  split: string;
  splitCertificate: string;
  modelCard: string;
  modelCardText: string;
  checkpoints: string;
  history: string;
  trainingEvents: string;
  training: string;
  tensorboard: string;
  predictionsTest: string;
  metrics: string;
  reviewRecord: string;
  explanationCheck: string;
  plots: string;
  evaluation: string;
  notebooks: string;
  report: string;
}

/** The absolute paths of everything that a run writes. */
export function runPaths(run: string): RunPaths {
  const results = join(projectRoot, "results", run);
  const model = join(projectRoot, "model", run);
  return {
    results,
    model,
    config: join(results, "config.json"),
    manifest: join(results, "manifest.parquet"),
    audit: join(results, "audit.csv"),
    split: join(results, "split.csv"),
    splitCertificate: join(results, "split_certificate.json"),
    modelCard: join(model, "model_card.json"),
    modelCardText: join(model, "model_card.md"),
    checkpoints: join(model, "checkpoints"),
    history: join(results, "history.csv"),
    trainingEvents: join(results, "training_events.csv"),
    training: join(results, "training.json"),
    tensorboard: join(results, "tensorboard"),
    predictionsTest: join(results, "predictions_test.csv"),
    metrics: join(results, "metrics.json"),
    reviewRecord: join(results, "review.json"),
    explanationCheck: join(results, "explanation_check.json"),
    plots: join(results, "plots"),
    evaluation: join(results, "evaluation.csv"),
    notebooks: join(results, "notebooks"),
    report: join(results, "report.html"),
  };
}
