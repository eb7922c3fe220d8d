import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { compareCodePoints } from "../data/compare_code_points.ts";
import { MANIFEST_COLUMNS, type ManifestRow, usable } from "../data/manifest.ts";
import { DataError } from "../errors.ts";
import { writeJson } from "../files.ts";
import { listLines } from "../list_lines.ts";
import { groupWarning } from "./group_warning.ts";
import { type Fractions, type SplitRow, splitText, type Subset } from "./split.ts";
import { subsetCounts } from "./subset_counts.ts";

/** The content of split_certificate.json: proof that nothing leaks between the subsets. */
export interface SplitCertificate {
  /** Of the form of this file. */
  version: 2;
  /** `made` from the seed, so that it can be made again; or `given` by a person. */
  source: "made" | "given";
  /** `null` for a given split, as are the fractions requested. */
  seed: number | null;
  fractions_requested: Record<Subset, number> | null;
  fractions_achieved: Record<Subset, number>;
  /** Images a class and subset. */
  counts: Record<Subset, Record<string, number>>;
  /** Groups a subset. */
  groups: Record<Subset, number>;
  /** SHA-256 over all rows of the manifest, in the order of their paths; see `manifestHash`. */
  manifest_sha256: string;
  /** SHA-256 of split.csv, as `sha256sum` gives it. */
  split_sha256: string;
  /** Pairs of near-duplicates that were checked. */
  near_duplicate_pairs: number;
  /** SHA-256 over these pairs, in order. */
  near_duplicates_sha256: string;
  /** Always empty: a split with crossings gets no certificate. */
  groups_crossing: [];
  /** Always empty. */
  duplicates_crossing: [];
  /** Always empty. */
  near_duplicates_crossing: [];
  /** What limits the proof: that there are no groups; else `null`. */
  note: string | null;
}

/** What a split was made from. */
export interface SplitRequest {
  seed: number;
  fractions: Fractions;
}

/**
 * Checks a split and certifies it. A pure function of its arguments, in any order of rows and pairs.
 *
 * @param manifest The whole manifest, with the rows that are not used.
 * @param nearDuplicates Pairs of paths, from `nearDuplicatePairs`.
 * @param requested `null` for a split that a person gave.
 * @throws {DataError} When a group, duplicate or near-duplicate crosses subsets, or when the split
 *   is not exactly of the usable images of the manifest.
 */
export function certifySplit(
  rows: readonly SplitRow[],
  manifest: readonly ManifestRow[],
  nearDuplicates: readonly (readonly [string, string])[],
  requested: SplitRequest | null,
): SplitCertificate {
  checkSameImages(rows, manifest);
  const crossing = findCrossings(rows, nearDuplicates);
  if (crossing.length > 0) {
    throw new DataError(
      `The split leaks between its subsets, ${crossing.length} ` +
        `${crossing.length === 1 ? "time" : "times"}:${listLines(crossing)}`,
      requested === null
        ? "Correct your split file (split.file): all images of a group, and all that show the same, " +
          "belong in one subset."
        : "Make the split anew with notebook 03.",
    );
  }
  const counts = subsetCounts(rows);
  const perSubset = <T>(value: (count: (typeof counts)[number]) => T) =>
    Object.fromEntries(counts.map((count) => [count.subset, value(count)])) as Record<Subset, T>;
  return {
    version: 2,
    source: requested === null ? "given" : "made",
    seed: requested?.seed ?? null,
    fractions_requested: requested?.fractions ?? null,
    fractions_achieved: perSubset(({ fraction }) => fraction),
    counts: perSubset(({ classes }) => classes),
    groups: perSubset(({ groups }) => groups),
    manifest_sha256: manifestHash(manifest),
    split_sha256: sha256(splitText(rows)),
    near_duplicate_pairs: nearDuplicates.length,
    near_duplicates_sha256: sha256(
      nearDuplicates.map((pair) => JSON.stringify(pair)).sort(compareCodePoints).join("\n"),
    ),
    groups_crossing: [],
    duplicates_crossing: [],
    near_duplicates_crossing: [],
    note: groupWarning(rows),
  };
}

/** Writes split_certificate.json, atomically. */
export async function writeCertificate(path: string, certificate: SplitCertificate): Promise<void> {
  await writeJson(path, certificate);
}

/**
 * Recomputes a certificate and compares it with the one given.
 *
 * @param certificate The parsed split_certificate.json, trusted in nothing.
 * @returns The names of the fields that do not agree; none when the split is what was certified.
 * @throws {DataError} As {@linkcode certifySplit}, or when it is no certificate at all.
 */
export function verifyCertificate(
  certificate: unknown,
  rows: readonly SplitRow[],
  manifest: readonly ManifestRow[],
  nearDuplicates: readonly (readonly [string, string])[],
): string[] {
  const given = (certificate ?? {}) as Record<string, unknown>;
  const requested = requestOf(given);
  const expected: Record<string, unknown> = {
    ...certifySplit(rows, manifest, nearDuplicates, requested),
  };
  return [...new Set([...Object.keys(expected), ...Object.keys(given)])]
    .filter((name) => !isDeepStrictEqual(expected[name], given[name]));
}

/**
 * What a certificate says its split was made from; `null` for a given one.
 *
 * @throws {DataError} When it is damaged.
 */
export function requestOf(certificate: Record<string, unknown>): SplitRequest | null {
  const { data } = requestSchema.safeParse(certificate);
  if (!data) {
    throw new DataError(
      "The split certificate is damaged, or of another version of the project: it does not say " +
        "how the split came about.",
      "Make the split anew with notebook 03.",
    );
  }
  return data.source === "given" ? null : { seed: data.seed, fractions: data.fractions_requested };
}

const fraction = z.number().gt(0).lt(1);
const requestSchema = z.discriminatedUnion("source", [
  z.object({ source: z.literal("given") }),
  z.object({
    source: z.literal("made"),
    seed: z.int(),
    fractions_requested: z.object({ train: fraction, validation: fraction, test: fraction }),
  }),
]);

/**
 * SHA-256 of a manifest, whatever the order of its rows and the version of the Parquet writer: over
 * one JSON array a row, of the values in the order of the columns, joined by line feeds.
 */
export function manifestHash(manifest: readonly ManifestRow[]): string {
  const sorted = manifest.toSorted((a, b) => compareCodePoints(a.path, b.path));
  return sha256(
    sorted.map((row) => JSON.stringify(MANIFEST_COLUMNS.map((name) => row[name]))).join("\n"),
  );
}

/** Every leak, in words. */
function findCrossings(
  rows: readonly SplitRow[],
  nearDuplicates: readonly (readonly [string, string])[],
): string[] {
  const groups = [...Map.groupBy(rows, ({ group }) => group)].flatMap(([group, own]) => {
    const subsets = [...new Set(own.map(({ subset }) => subset))];
    return subsets.length < 2 ? [] : [`the group ${group} is in ${subsets.join(" and ")}`];
  });
  const copies = [...Map.groupBy(rows, (row) => row.sha256).values()].flatMap((own) => {
    const [first, ...others] = [...new Map(own.map((row) => [row.subset, row])).values()];
    return others.map((other) => describePair("the same file:", first!, other));
  });
  const rowOf = new Map(rows.map((row) => [row.path, row]));
  const near = nearDuplicates.flatMap(([a, b]) => {
    const [first, second] = [rowOf.get(a), rowOf.get(b)];
    return !first || !second || first.subset === second.subset
      ? []
      : [describePair("near-duplicates:", first, second)];
  });
  return [...groups, ...copies, ...near];
}

function describePair(what: string, a: SplitRow, b: SplitRow): string {
  return `${what} ${JSON.stringify(a.path)} is in ${a.subset}, ` +
    `${JSON.stringify(b.path)} in ${b.subset}`;
}

function checkSameImages(rows: readonly SplitRow[], manifest: readonly ManifestRow[]): void {
  const key = ({ path, label, group, sha256 }: Omit<SplitRow, "subset">) =>
    JSON.stringify([path, label, group, sha256]);
  const inSplit = new Set(rows.map(key));
  const inManifest = new Set(usable(manifest).map(key));
  const problems = [
    ...[...inManifest.difference(inSplit)].map((image) => `${image} is in the manifest alone`),
    ...[...inSplit.difference(inManifest)].map((image) => `${image} is in the split alone`),
  ];
  if (inSplit.size < rows.length) problems.push("an image is in the split twice");
  if (problems.length === 0) return;
  throw new DataError(
    `The split does not belong to the manifest:${listLines(problems)}`,
    "Run notebook 03 again after 02.",
  );
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
