import { z } from "zod";
import { parseConfig } from "../../config.ts";
import { readCsv } from "../../csv.ts";
import { readFindings } from "../../data/findings.ts";
import { readManifest } from "../../data/manifest.ts";
import { DataError, ProjectError } from "../../errors.ts";
import { exists, readJson, sha256File } from "../../files.ts";
import type { MapCheck } from "../../metrics/explain/check_maps.ts";
import { readMetrics } from "../../metrics/read_metrics.ts";
import { modelCardSchema } from "../../model/model_card.ts";
import type { RunPaths } from "../../paths.ts";
import type { SplitCertificate } from "../../split/certificate.ts";
import { readSplit } from "../../split/split.ts";
import { readEvents, readHistory } from "../../training/history.ts";
import type { ReportedEvaluation, RunFiles } from "./report_data.ts";

const count = z.int().min(0);
const correlation = z.number().nullable();
const mapCheckSchema: z.ZodType<MapCheck | null> = z.object({
  images: count,
  randomHead: correlation,
  randomLastLayers: correlation,
  occlusion: correlation,
  doubtful: z.boolean(),
  sentence: z.string(),
}).nullable();

const perSubset = <T extends z.ZodType>(value: T) =>
  z.object({ train: value, validation: value, test: value });
const certificateSchema: z.ZodType<SplitCertificate> = z.object({
  version: z.literal(2),
  source: z.enum(["made", "given"]),
  seed: z.int().nullable(),
  fractions_requested: perSubset(z.number()).nullable(),
  fractions_achieved: perSubset(z.number()),
  counts: perSubset(z.record(z.string(), count)),
  groups: perSubset(count),
  manifest_sha256: z.string(),
  split_sha256: z.string(),
  near_duplicate_pairs: count,
  near_duplicates_sha256: z.string(),
  groups_crossing: z.tuple([]),
  duplicates_crossing: z.tuple([]),
  near_duplicates_crossing: z.tuple([]),
  note: z.string().nullable(),
});

const summarySchema = z.object({
  model: z.object({ weights_sha256: z.string() }),
  classified: count,
  unreadable: count,
  review: count,
  classes: z.array(z.object({ name: z.string(), images: count })),
  class_share: z.object({ text: z.string() }).nullable(),
});

/**
 * Reads the files of a run for its report. None has to be there.
 *
 * @returns The files, and why those that are there but cannot be read cannot.
 */
export async function readRunFiles(
  paths: RunPaths,
): Promise<{ files: RunFiles; problems: string[] }> {
  const problems: string[] = [];
  const read = async <T>(path: string, reader: (path: string) => Promise<T>): Promise<T | null> => {
    if (!await exists(path)) return null;
    try {
      return await reader(path);
    } catch (error) {
      if (!(error instanceof ProjectError)) throw error;
      problems.push(error.message.split("\n  What to do")[0]!);
      return null;
    }
  };
  const files: RunFiles = {
    config: await read(paths.config, async (path) => parseConfig(await readJson(path, ""))),
    manifest: await read(paths.manifest, readManifest),
    findings: await read(paths.audit, readFindings),
    split: await read(paths.split, readSplit),
    splitSha256: await read(paths.split, sha256File),
    certificate: await read(paths.splitCertificate, (path) => readShape(path, certificateSchema)),
    history: await read(paths.history, readHistory),
    events: await read(paths.trainingEvents, readEvents),
    card: await read(paths.modelCard, (path) => readShape(path, modelCardSchema)),
    metrics: await read(paths.metrics, readMetrics),
    predictions: await read(paths.predictionsTest, readPredictions),
    mapCheck: await read(paths.explanationCheck, (path) => readShape(path, mapCheckSchema)),
    evaluation: await read(paths.evaluation, readEvaluation),
  };
  return { files, problems };
}

async function readShape<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await readJson(path, ""));
  if (parsed.success) return parsed.data;
  throw new DataError(`${path} is damaged, or of another version of the project.`, "");
}

async function readPredictions(path: string): Promise<NonNullable<RunFiles["predictions"]>> {
  const rows = await readCsv(path, ["path", "label", "predicted", "probability"], "");
  return rows.map(({ path, label, predicted, probability }) => {
    return { path, label, predicted, probability: Number(probability) };
  });
}

/** What section 7 left: its summary where there is one, else counted from its tables. */
async function readEvaluation(path: string): Promise<NonNullable<RunFiles["evaluation"]>> {
  const beside = (end: string) => path.replace(/\.csv$/, end);
  const summary = beside("_summary.json");
  if (await exists(summary)) {
    const { model, class_share, ...counted } = await readShape(summary, summarySchema);
    const shareText = class_share?.text ?? null;
    return { ...counted, shareText, weightsSha256: model.weights_sha256 };
  }
  const rows = await readCsv(beside("_details.csv"), ["predicted", "decision"], "");
  const errors = beside("_errors.csv");
  const counts = Map.groupBy(rows, ({ predicted }) => predicted);
  const counted: ReportedEvaluation = {
    classified: rows.length,
    unreadable: await exists(errors) ? (await readCsv(errors, ["name"], "")).length : 0,
    review: rows.filter(({ decision }) => decision === "review").length,
    classes: [...counts].map(([name, own]) => ({ name, images: own.length })),
    shareText: null,
  };
  return { ...counted, weightsSha256: null };
}
