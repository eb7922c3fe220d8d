import { join, resolve } from "node:path";
import { exists } from "./files.ts";
import { compareCodePoints } from "./words.ts";

/** The folder that holds deno.json. Relative paths in the config are meant from here. */
export const projectRoot: string = resolve(import.meta.dirname!, "..", "..");

/** A path from the config, made absolute: relative ones are meant from the project's folder. */
export function fromRoot(path: string): string {
  return resolve(projectRoot, path);
}

/** Outputs of frozen layers, which all runs share. */
export const FEATURES_FOLDER: string = join(projectRoot, "results", ".cache", "features");

/** Where a run's files are: see "What a run leaves" in docs/guide.md. */
export type RunPaths = ReturnType<typeof runPaths>;

/** The absolute paths of everything that a run writes. */
export function runPaths(run: string) {
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

/** Names of the folders in results/, in code-point order: most are those of runs. */
export async function runFolders(): Promise<string[]> {
  const folder = join(projectRoot, "results");
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const entry = await Deno.stat(join(folder, name)).catch(() => null); // a dangling link
      if (entry?.isDirectory && !name.startsWith(".")) names.push(name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort(compareCodePoints);
}

/** A person's own labels, in the data folder. */
export const LABELS_FILE = "labels.csv";

/** Whether `folder` has a labels.csv, or a class folder in it holds anything but hidden files. */
export async function holdsImages(folder: string, classes: readonly string[]): Promise<boolean> {
  if (await exists(join(folder, LABELS_FILE))) return true;
  for (const name of classes) {
    const path = join(folder, name);
    if (!await exists(path) || !(await Deno.stat(path)).isDirectory) continue;
    for await (const entry of Deno.readDir(path)) {
      if (!entry.name.startsWith(".")) return true;
    }
  }
  return false;
}

/** Where the synthetic sample set is made, relative to the project. */
export const SAMPLE_FOLDER = "data/sample";

/** The file that says of a folder that its pictures were drawn. */
export const MARKER = "SYNTHETIC.md";

/** Whether a folder, or one of the three above it, is a synthetic sample set. */
export async function isSynthetic(folder: string): Promise<boolean> {
  const places = [".", "..", "../..", "../../.."].map((up) => hasMarker(resolve(folder, up)));
  return (await Promise.all(places)).includes(true);
}

/** Whether a folder is a synthetic sample set itself. */
export async function hasMarker(folder: string): Promise<boolean> {
  return await exists(join(folder, MARKER));
}
