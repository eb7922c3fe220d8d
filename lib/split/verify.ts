import { z } from "zod";
import { readRunConfig } from "../core/config.ts";
import { DataError, ProjectError } from "../core/errors.ts";
import { exists, readJson, sha256File } from "../core/files.ts";
import { fromRoot, type RunPaths, runPaths } from "../core/paths.ts";
import type { Config } from "../core/settings.ts";
import type { OnProgress } from "../core/stop.ts";
import { listLines } from "../core/words.ts";
import { scanDataset } from "../data/scan.ts";
import { type Finding, nearDuplicatePairs, readFindings } from "../run/findings.ts";
import { MANIFEST_COLUMNS, type ManifestRow, readManifest } from "../run/manifest.ts";
import {
  manifestHash,
  readSplit,
  requestOf,
  type SplitRequest,
  type SplitRow,
  SUBSETS,
  verifyCertificate,
} from "../run/split_file.ts";
import { readGivenSplit, stratifiedSplit } from "./split.ts";

/** What a verification came to. */
export interface Verification {
  /** What does not agree, in words; none: the split is what its certificate says. */
  problems: string[];
  /** What was checked. */
  checked: string[];
  /** What could not be checked, and why. */
  unchecked: string[];
}

/** What a run says about its split: its files, trusted in nothing. */
interface RunFiles {
  config: Config;
  certificate: Record<string, unknown>;
  /** As the certificate has it; `null`: the split was given. */
  request: SplitRequest | null;
  rows: SplitRow[];
  manifest: ManifestRow[];
  findings: Finding[];
}

/**
 * Verifies a run's split from its files and, where the data folder is there, from the images
 * themselves: these are read anew, so that labels, groups, hashes and near-duplicates are not taken
 * from the run's own files. A split that was made is made again and compared; one that was given is
 * read again from the file that brought it.
 *
 * @throws {DataError} When a file of the run is missing, or damaged so that it cannot be read.
 */
export async function verifyRun(
  run: string,
  progress?: (label: string) => OnProgress,
): Promise<Verification> {
  const paths = runPaths(run);
  const files = await readRunFiles(run, paths);
  const { config, certificate, request, manifest } = files;
  const result: Verification = { problems: [], checked: [], unchecked: [] };
  const check = async (what: string, findProblems: () => string[] | Promise<string[]>) => {
    try {
      result.problems.push(...await findProblems());
    } catch (error) {
      if (!(error instanceof ProjectError)) throw error;
      result.problems.push(error.message);
    }
    result.checked.push(what);
  };
  await check(
    "the certificate against manifest.parquet, audit.csv and split.csv",
    () => compareWithCertificate(files, paths),
  );
  await check("config.json", () => compareWithConfig(request, config));
  if (request !== null) {
    await check(`the split, made again from seed ${request.seed}`, () => remake(files, request));
  } else if (config.split.file !== null && await exists(fromRoot(config.split.file))) {
    const { file } = config.split;
    await check(
      `the split, read again from ${JSON.stringify(file)}`,
      async () =>
        differences(files.rows, await readGivenSplit(fromRoot(file), manifest), "its file"),
    );
  } else {
    result.unchecked.push("where the split comes from: the file that brought it is not there");
  }
  if (await exists(fromRoot(config.data.folder))) {
    await check(
      `${manifest.length} images, their labels and groups, read anew`,
      () => compareWithImages(files, progress),
    );
  } else {
    result.unchecked.push(`the images: ${JSON.stringify(config.data.folder)} is not there`);
  }
  if (await exists(paths.modelCard)) {
    await check(
      "that the model was trained on this split",
      () => compareWithModel(paths, certificate),
    );
  }
  return result;
}

async function readRunFiles(run: string, paths: RunPaths): Promise<RunFiles> {
  if (!await exists(paths.config)) {
    throw new DataError(
      `${paths.config} is not there.`,
      "Check the name of the run; its files lie in results/RUN/. Notebooks 01 to 03 write them.",
    );
  }
  const remedy = "Run notebook 03 again; it writes this file.";
  const parsed = await readJson(paths.splitCertificate, remedy);
  const certificate = (parsed ?? {}) as Record<string, unknown>;
  return {
    config: await readRunConfig(run),
    certificate,
    request: requestOf(certificate),
    rows: await readSplit(paths.split),
    manifest: await readManifest(paths.manifest),
    findings: await readFindings(paths.audit),
  };
}

async function compareWithCertificate(
  { certificate, rows, manifest, findings }: RunFiles,
  { split }: RunPaths,
): Promise<string[]> {
  const problems = await sha256File(split) === certificate["split_sha256"]
    ? []
    : ["split.csv is not, byte for byte, the file that was certified"];
  const fields = verifyCertificate(certificate, rows, manifest, nearDuplicatePairs(findings));
  return [
    ...problems,
    ...fields.map((field) =>
      `the certificate's ${field} (${
        JSON.stringify(certificate[field])
      }) is not what the files give`
    ),
  ];
}

function compareWithConfig(request: SplitRequest | null, { seed, split }: Config): string[] {
  const remedy = "run notebook 03 again if the config was changed on purpose";
  if (request === null) {
    return split.file === null
      ? [`config.json asks for a split to be made, the certificate is of a given one; ${remedy}`]
      : [];
  }
  const asked = [seed, ...SUBSETS.map((subset) => split[subset])].join(", ");
  const made = [request.seed, ...SUBSETS.map((subset) => request.fractions[subset])].join(", ");
  if (split.file === null && asked === made) return [];
  const wish = split.file === null
    ? `seed and fractions ${asked}`
    : `the split of ${JSON.stringify(split.file)}`;
  return [`config.json asks for ${wish}, the certificate is of ${made}; ${remedy}`];
}

function remake({ rows, manifest, findings }: RunFiles, request: SplitRequest): string[] {
  const { fractions, seed } = request;
  const again = stratifiedSplit(manifest, fractions, seed, nearDuplicatePairs(findings));
  return differences(rows, again, "the seed");
}

/** Images that another split puts elsewhere. */
function differences(rows: readonly SplitRow[], other: readonly SplitRow[], by: string): string[] {
  const subsets = new Map(other.map(({ path, subset }) => [path, subset]));
  const moved = rows.filter(({ path, subset }) => subsets.get(path) !== subset);
  return moved.length === 0 ? [] : [
    `split.csv has ${moved.length} image${moved.length === 1 ? "" : "s"} in other subsets:${
      listLines(moved.map(({ path, subset }) =>
        `${JSON.stringify(path)} is in ${subset}; ${by} puts it into ${subsets.get(path) ?? "none"}`
      ))
    }`,
  ];
}

async function compareWithImages(
  { config, manifest, findings }: RunFiles,
  progress?: (label: string) => OnProgress,
): Promise<string[]> {
  const options = progress ? { progress } : {}; // without a cache: that could be tampered with
  const scan = await scanDataset(fromRoot(config.data.folder), config.data, options);
  const problems: string[] = [];
  if (manifestHash(scan.rows) !== manifestHash(manifest)) {
    const lines = compareRows(scan.rows, manifest);
    problems.push(
      `manifest.parquet is not what the images give:${
        listLines(lines.length > 0 ? lines : ["it lists an image twice"])
      }`,
    );
  }
  const texts = (list: readonly Finding[]) =>
    new Set(
      list.map(({ path, finding, detail, other_path }) =>
        [finding, JSON.stringify(path), ...(other_path ? [JSON.stringify(other_path)] : []), detail]
          .join(" ")
      ),
    );
  const [then, now] = [texts(findings), texts(scan.findings)];
  const lines = [
    ...[...now.difference(then)].map((text) => `it lacks: ${text}`),
    ...[...then.difference(now)].map((text) => `not to be found: ${text}`),
  ];
  if (lines.length > 0) problems.push(`audit.csv is not what the images give:${listLines(lines)}`);
  return problems;
}

/** What has become of the images of a manifest, a line an image. */
function compareRows(now: readonly ManifestRow[], then: readonly ManifestRow[]): string[] {
  const present = new Map(now.map((row) => [row.path, row]));
  const listed = new Set(then.map(({ path }) => path));
  return [
    ...then.flatMap((row) => {
      const own = present.get(row.path);
      if (!own) return [`${JSON.stringify(row.path)} is gone`];
      const columns = MANIFEST_COLUMNS.filter((name) => own[name] !== row[name]);
      return columns.length === 0
        ? []
        : [`${JSON.stringify(row.path)} differs in ${columns.join(", ")}`];
    }),
    ...now.filter(({ path }) => !listed.has(path))
      .map(({ path }) => `${JSON.stringify(path)} is new`),
  ];
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
