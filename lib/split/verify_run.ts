import { z } from "zod";
import { readRunConfig } from "../config.ts";
import type { Config } from "../config_schema.ts";
import { nearDuplicatePairs, readFindings } from "../data/findings.ts";
import { type ManifestRow, readManifest } from "../data/manifest.ts";
import { scanDataset } from "../data/scan_dataset.ts";
import { DataError } from "../errors.ts";
import { exists, readJson, sha256File } from "../files.ts";
import { fromRoot, type RunPaths, runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { manifestHash, requestOf, verifyCertificate } from "./certificate.ts";
import { readSplit, type SplitRow, splitText } from "./split.ts";
import { stratifiedSplit } from "./stratified_split.ts";

/** What a verification came to. */
export interface Verification {
  /** What does not agree, in words; none: the split is what its certificate says. */
  problems: string[];
  /** What was checked. */
  checked: string[];
  /** What could not be checked, and why. */
  unchecked: string[];
}

type Pairs = [string, string][];

const MOST_SHOWN = 10;

/**
 * Verifies a run's split from its files and, where the data folder is there, from the images
 * themselves: these are read anew, so that hashes and near-duplicates are not taken from the run's
 * own files. A split that was made is made again and compared byte for byte.
 *
 * @throws {DataError} When a file of the run is missing or damaged, or something crosses subsets.
 */
export async function verifyRun(
  run: string,
  progress?: (label: string) => OnProgress,
): Promise<Verification> {
  const paths = runPaths(run);
  const config = await readRunConfig(run);
  const remedy = "Run notebook 03 again; it writes this file.";
  const certificate = await readJson(paths.splitCertificate, remedy) as Record<string, unknown>;
  const rows = await readSplit(paths.split);
  const manifest = await readManifest(paths.manifest);
  const pairs = nearDuplicatePairs(await readFindings(paths.audit));

  const problems = verifyCertificate(certificate, rows, manifest, pairs)
    .map((field) => `the certificate's ${field} is not what its files give`);
  const checked = [`the certificate against manifest.parquet, audit.csv and split.csv`];
  const unchecked: string[] = [];
  if (await sha256File(paths.split) !== certificate["split_sha256"]) {
    problems.push("split.csv is not, byte for byte, the file that was certified");
  }
  const request = requestOf(certificate);
  if (request === null) unchecked.push("how the subsets were chosen: the split was given");
  else {
    const again = stratifiedSplit(manifest, request.fractions, request.seed, pairs);
    problems.push(...differences(rows, again));
    checked.push(`the split, made again from seed ${request.seed}`);
  }
  if (await exists(fromRoot(config.data.folder))) {
    problems.push(...await compareWithImages(config, manifest, pairs, progress));
    checked.push(`${manifest.length} images, read anew`);
  } else {
    unchecked.push(`the images: ${JSON.stringify(config.data.folder)} is not there`);
  }
  if (await exists(paths.modelCard)) {
    problems.push(...await compareWithModel(paths, certificate));
    checked.push("that the model was trained on this split");
  }
  return { problems, checked, unchecked };
}

function differences(rows: readonly SplitRow[], again: readonly SplitRow[]): string[] {
  if (splitText(rows) === splitText(again)) return [];
  const subsets = new Map(again.map(({ path, subset }) => [path, subset]));
  const moved = rows.filter(({ path, subset }) => subsets.get(path) !== subset);
  return capped(
    moved.map(({ path, subset }) =>
      `${JSON.stringify(path)} is in ${subset}; the seed puts it into ${subsets.get(path)}`
    ),
  );
}

async function compareWithImages(
  { data }: Config,
  manifest: readonly ManifestRow[],
  pairs: Pairs,
  progress?: (label: string) => OnProgress,
): Promise<string[]> {
  const scan = await scanDataset(fromRoot(data.folder), data, progress ? { progress } : {});
  const problems: string[] = [];
  if (manifestHash(scan.rows) !== manifestHash(manifest)) {
    const now = new Map(scan.rows.map((row) => [row.path, JSON.stringify(row)]));
    const then = new Map(manifest.map((row) => [row.path, JSON.stringify(row)]));
    for (const path of new Set([...then.keys(), ...now.keys()])) {
      if (now.get(path) === then.get(path)) continue;
      const what = !now.has(path) ? "is gone" : !then.has(path) ? "is new" : "has changed";
      problems.push(`${JSON.stringify(path)} ${what} since notebook 02`);
    }
  }
  const text = (list: Pairs) => list.map((pair) => JSON.stringify(pair)).sort().join();
  if (text(nearDuplicatePairs(scan.findings)) !== text(pairs)) {
    problems.push("audit.csv names other near-duplicates than the images show");
  }
  return capped(problems);
}

const cardSchema = z.object({
  data: z.object({ manifestSha256: z.string(), splitSha256: z.string() }),
});

async function compareWithModel(
  { modelCard }: RunPaths,
  certificate: Record<string, unknown>,
): Promise<string[]> {
  const remedy = "Train again with this version (notebook 05).";
  const { data: card } = cardSchema.safeParse(await readJson(modelCard, remedy));
  if (!card) throw new DataError(`${modelCard} is not a model card of this version.`, remedy);
  const { manifestSha256, splitSha256 } = card.data;
  return [
    ...(splitSha256 === certificate["split_sha256"]
      ? []
      : ["the model was trained on another split"]),
    ...(manifestSha256 === certificate["manifest_sha256"]
      ? []
      : ["the model was trained on other images"]),
  ];
}

function capped(lines: string[]): string[] {
  return lines.length <= MOST_SHOWN
    ? lines
    : [...lines.slice(0, MOST_SHOWN), `… and ${lines.length - MOST_SHOWN} more`];
}
