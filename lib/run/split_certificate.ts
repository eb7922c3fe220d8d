import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { DataError } from "../core/errors.ts";
import { exists, readJson, sha256File, writeJson } from "../core/files.ts";
import type { Config } from "../core/settings.ts";
import { compareCodePoints, listLines } from "../core/words.ts";
import { MANIFEST_COLUMNS, type ManifestRow, usable } from "./manifest.ts";
import {
  asSubset,
  dealings,
  type Fractions,
  groupWarning,
  requestedFractions,
  type SplitRow,
  splitText,
  subsetCounts,
} from "./split_file.ts";

const REMEDY = "Run notebook 03 again; it writes this file.";

/**
 * The content of split_certificate.json: proof that nothing leaks between the subsets.
 *
 * - `source`: `made` from the seed, so that it can be made again, or `given` by a person; then
 *   `seed` and `fractions_requested` are `null`.
 * - `repeats`: how often folds were dealt, where that is more than once.
 * - `counts`: images a subset and class; `groups`: groups a subset.
 * - `manifest_sha256`: over all rows of the manifest, see {@linkcode manifestHash}.
 * - `split_sha256`: of split.csv, as `sha256sum` gives it.
 * - `near_duplicate_pairs`: how many were checked; `near_duplicates_sha256`: over them, in order.
 * - `…_crossing`: always empty, since a split with crossings gets no certificate.
 * - `note`: what limits the proof, namely that there are no groups; else `null`.
 */
export type SplitCertificate = z.infer<typeof certificateSchema>;

/** What a split was made from. */
export type SplitRequest = { seed: number; fractions: Fractions; repeats: number };

/** What a config asks for; `null`: the split of a person's own file. */
export function configuredRequest(
  { seed, split }: Pick<Config, "seed" | "split">,
): SplitRequest | null {
  if (split.file !== null) return null;
  const repeats = split.folds > 0 ? split.repeats : 1;
  return { seed, fractions: requestedFractions(split), repeats };
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
  const bySubset = <T>(value: (count: (typeof counts)[number]) => T): Record<string, T> =>
    Object.fromEntries(counts.map((count) => [count.subset, value(count)]));
  return {
    version: 2,
    source: requested === null ? "given" : "made",
    seed: requested?.seed ?? null,
    fractions_requested: requested?.fractions ?? null,
    ...requested && requested.repeats > 1 && { repeats: requested.repeats },
    fractions_achieved: bySubset(({ fraction }) => fraction),
    counts: bySubset(({ classes }) => classes),
    groups: bySubset(({ groups }) => groups),
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
export const writeCertificate: (path: string, certificate: SplitCertificate) => Promise<void> =
  writeJson;

const count = z.int().min(0);

const perSubset = <T extends z.ZodType>(value: T) => z.record(z.string(), value);

const certificateSchema = z.object({
  version: z.literal(2),
  source: z.enum(["made", "given"]),
  seed: z.int().nullable(),
  fractions_requested: perSubset(z.number()).nullable(),
  repeats: count.optional(),
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

/**
 * Reads split_certificate.json. It says what was certified, not that it still holds: see
 * {@linkcode verifyCertificate}.
 *
 * @param split Path of split.csv, to check that it is, byte for byte, the file that was certified.
 * @throws {DataError} When it is missing, damaged or, while there is a split.csv, not of that.
 */
export async function readCertificate(path: string, split?: string): Promise<SplitCertificate> {
  const { success, data } = certificateSchema.safeParse(await readJson(path, REMEDY));
  if (!success) {
    throw new DataError(`${path} is damaged, or of another version of the project.`, REMEDY, {
      file: path,
    });
  }
  if (split && await exists(split) && await sha256File(split) !== data.split_sha256) {
    throw new DataError(`${split} is not the split that ${path} vouches for.`, REMEDY, {
      file: split,
    });
  }
  return data;
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
  const expected: Record<string, unknown> = {
    ...certifySplit(rows, manifest, nearDuplicates, requestOf(given)),
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
  if (data?.source === "given") return null;
  if (data) {
    return { seed: data.seed, fractions: data.fractions_requested, repeats: data.repeats };
  }
  throw new DataError(
    "The split certificate is damaged: it does not say how the split came about.",
    "Make the split anew with notebook 03.",
  );
}

const requestSchema = z.discriminatedUnion("source", [
  z.object({ source: z.literal("given") }),
  z.object({
    source: z.literal("made"),
    seed: z.int(),
    fractions_requested: perSubset(z.number().gt(0).lt(1))
      .refine((fractions) => Object.keys(fractions).every(asSubset)),
    repeats: z.int().min(2).default(1),
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

/** What crosses subsets, each time that the images were dealt. */
function findCrossings(
  split: readonly SplitRow[],
  nearDuplicates: readonly (readonly [string, string])[],
): string[] {
  return dealings(split).flatMap((rows) => {
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
  });
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
