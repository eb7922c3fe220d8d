import { readCsv, toCsv } from "../csv.ts";
import { compareCodePoints } from "../data/compare_code_points.ts";
import type { ManifestRow } from "../data/manifest.ts";
import { DataError } from "../errors.ts";
import { writeAtomic } from "../files.ts";

/** The subsets, in order. */
export const SUBSETS = ["train", "validation", "test"] as const;

/** One part of the data. */
export type Subset = (typeof SUBSETS)[number];

/** Fraction of the images that goes to each subset; they sum to 1 (`config.split`). */
export type Fractions = Readonly<Record<Subset, number>>;

/** One usable image and where it went: a row of split.csv. */
export interface SplitRow extends Pick<ManifestRow, "path" | "label" | "group" | "sha256"> {
  subset: Subset;
}

const COLUMNS = ["path", "label", "group", "sha256", "subset"] as const;

/**
 * The text of split.csv: rows in code-point order of their paths, so that the same split is the same
 * file, byte for byte.
 */
export function splitText(rows: readonly SplitRow[]): string {
  return toCsv(COLUMNS, rows.toSorted((a, b) => compareCodePoints(a.path, b.path)));
}

/** Writes split.csv, atomically. */
export async function writeSplit(path: string, rows: readonly SplitRow[]): Promise<void> {
  await writeAtomic(path, splitText(rows));
}

/**
 * Reads split.csv.
 *
 * @throws {DataError} When it is missing, damaged or names an unknown subset.
 */
export async function readSplit(path: string): Promise<SplitRow[]> {
  const remedy = "Run notebook 03 again; it writes this file.";
  const rows = await readCsv(path, COLUMNS, remedy);
  return rows.map((row, i) => {
    const subset = SUBSETS.find((name) => name === row.subset);
    if (subset === undefined) {
      throw new DataError(
        `${path}, row ${i + 1}: ${JSON.stringify(row.subset)} is not one of ${SUBSETS.join(", ")}.`,
        remedy,
      );
    }
    return { ...row, subset };
  });
}
