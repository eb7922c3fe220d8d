import { z } from "zod";
import { readRunConfig } from "../core/config.ts";
import { DataError, ProjectError } from "../core/errors.ts";
import { exists, readJson, sha256File } from "../core/files.ts";
import type { OnProgress } from "../core/long_work.ts";
import { fromRoot, type RunPaths, runPaths } from "../core/paths.ts";
import type { Config } from "../core/settings.ts";
import { listLines } from "../core/words.ts";
import { scanDataset } from "../data/scan.ts";
import { type Finding, nearDuplicatePairs, readFindings } from "../run/findings.ts";
import { MANIFEST_COLUMNS, type ManifestRow, readManifest } from "../run/manifest.ts";
import {
  configuredRequest,
  manifestHash,
  requestOf,
  type SplitRequest,
  verifyCertificate,
} from "../run/split_certificate.ts";
import { dealings, readSplit, type SplitRow } from "../run/split_file.ts";
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

/**
 * Verifies a run's split from its files and, where the data folder is there, from the images
 * themselves: these are read again, so that labels, groups, hashes and near-duplicates are not taken
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
  const { file } = config.split;
  if (request !== null) {
    await check(`the split, made again from seed ${request.seed}`, () => {
      const pairs = nearDuplicatePairs(files.findings);
      return differences(files.rows, stratifiedSplit(manifest, request, pairs), "the seed");
    });
  } else if (file !== null && await exists(fromRoot(file))) {
    await check(`the split, read again from ${JSON.stringify(file)}`, async () => {
      return differences(files.rows, await readGivenSplit(fromRoot(file), manifest), "its file");
    });
  } else {
    result.unchecked.push("where the split comes from: the file that brought it is not there");
  }
  if (await exists(fromRoot(config.data.folder))) {
    await check(
      `${manifest.length} images, their labels and groups, read again`,
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

/** What a run says about its split: its files, trusted in nothing. */
type RunFiles = Awaited<ReturnType<typeof readRunFiles>>;

async function readRunFiles(run: string, paths: RunPaths) {
  if (!await exists(paths.config)) {
    throw new DataError(
      `${paths.config} is not there.`,
      "Check the name of the run; its files lie in results/RUN/. Notebooks 01 to 03 write them.",
      { file: paths.config },
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
  const problems = verifyCertificate(certificate, rows, manifest, nearDuplicatePairs(findings))
    .map((field) => {
      const value = JSON.stringify(certificate[field]);
      return `the certificate's ${field} (${value}) is not what the files give`;
    });
  return await sha256File(split) === certificate["split_sha256"]
    ? problems
    : ["split.csv is not, byte for byte, the file that was certified", ...problems];
}

function compareWithConfig(request: SplitRequest | null, config: Config): string[] {
  const describe = ({ seed, fractions, repeats }: SplitRequest) => {
    const parts = Object.entries(fractions).map(([subset, share]) => `${subset} ${share}`);
    return `seed ${seed} and ${parts.join(", ")}${repeats > 1 ? `, dealt ${repeats} times` : ""}`;
  };
  const configured = configuredRequest(config);
  const asked = configured
    ? describe(configured)
    : `the split of ${JSON.stringify(config.split.file)}`;
  const made = request && describe(request);
  const agrees = configured ? asked === made : request === null;
  return agrees ? [] : [
    `config.json asks for ${asked}, the certificate is of ${
      made ?? "a given split"
    }; run notebook ` +
    "03 again if the config was changed on purpose",
  ];
}

function differences(rows: readonly SplitRow[], other: readonly SplitRow[], by: string): string[] {
  const others = dealings(other);
  const moved = dealings(rows).flatMap((dealt, time) => {
    const subsets = new Map((others[time] ?? []).map((row) => [row.path, row.subset]));
    return dealt.filter(({ path, subset }) => subsets.get(path) !== subset).map((
      { path, subset },
    ) =>
      `${JSON.stringify(path)} is in ${subset}; ${by} puts it into ${subsets.get(path) ?? "none"}`
    );
  });
  if (moved.length === 0) return [];
  const count = `${moved.length} image${moved.length === 1 ? "" : "s"}`;
  return [`split.csv has ${count} in other subsets:${listLines(moved)}`];
}

async function compareWithImages(
  { config, manifest, findings }: RunFiles,
  progress?: (label: string) => OnProgress,
): Promise<string[]> {
  const options = progress ? { progress } : {}; // without a cache: that could be tampered with
  const scan = await scanDataset(fromRoot(config.data.folder), config.data, options);
  const images = compareRows(scan.rows, manifest);
  if (images.length === 0 && manifestHash(scan.rows) !== manifestHash(manifest)) {
    images.push("it lists an image twice");
  }
  return [
    ["manifest.parquet", images] as const,
    ["audit.csv", compareFindings(scan.findings, findings)] as const,
  ].flatMap(([file, lines]) =>
    lines.length === 0 ? [] : [`${file} is not what the images give:${listLines(lines)}`]
  );
}

/** What has become of the images of a manifest, a line an image. */
function compareRows(now: readonly ManifestRow[], then: readonly ManifestRow[]): string[] {
  const present = new Map(now.map((row) => [row.path, row]));
  const listed = new Set(then.map(({ path }) => path));
  const changes = then.flatMap((row) => {
    const own = present.get(row.path);
    if (!own) return [`${JSON.stringify(row.path)} is gone`];
    const columns = MANIFEST_COLUMNS.filter((name) => own[name] !== row[name]);
    if (columns.length === 0) return [];
    return [`${JSON.stringify(row.path)} differs in ${columns.join(", ")}`];
  });
  const added = now.filter(({ path }) => !listed.has(path));
  return [...changes, ...added.map(({ path }) => `${JSON.stringify(path)} is new`)];
}

function compareFindings(now: readonly Finding[], then: readonly Finding[]): string[] {
  const quote = (path: string) => path && JSON.stringify(path);
  const text = ({ path, finding, detail, other_path }: Finding) =>
    [finding, quote(path), quote(other_path), detail].filter(Boolean).join(" ");
  const [given, found] = [new Set(then.map(text)), new Set(now.map(text))];
  return [
    ...[...found.difference(given)].map((finding) => `it lacks: ${finding}`),
    ...[...given.difference(found)].map((finding) => `it has, but should not: ${finding}`),
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
  const card = cardSchema.safeParse(await readJson(modelCard, remedy)).data?.data;
  if (!card) throw new DataError(`${modelCard} is not a model card of this version.`, remedy);
  const problems: string[] = [];
  if (card.splitSha256 !== certificate["split_sha256"]) {
    problems.push("the model was trained on another split");
  }
  if (card.manifestSha256 !== certificate["manifest_sha256"]) {
    problems.push("the model was trained on other images");
  }
  return problems;
}
