import { readFile } from "node:fs/promises";
import pl from "nodejs-polars";
import { DataError, reasonOf } from "../core/errors.ts";
import { writeAtomic } from "../core/files.ts";

/** One image of the data folder: a row of manifest.parquet. */
export interface ManifestRow {
  /** Relative to the data folder, `/` separators. */
  path: string;
  /** Name of its class folder. */
  label: string;
  /** Patient or slide; the path itself where there is no group pattern. */
  group: string;
  /** SHA-256 of the file's bytes, hexadecimal; empty when the file could not be read. */
  sha256: string;
  /** See `differenceHash`; empty when it could not be decoded. */
  dhash: string;
  /** In pixels, after EXIF orientation, as is the height; 0 when it could not be decoded. */
  width: number;
  height: number;
  /** In the file: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA or CMYK; 0 when unknown. */
  channels: number;
  /** `jpeg`, `png`, `tiff`, `webp`, `gif`, `bmp`, or empty when it could not be decoded. */
  format: string;
  /** `ok`, or why the image is not used. */
  status: string;
}

const SCHEMA = {
  path: pl.Utf8,
  label: pl.Utf8,
  group: pl.Utf8,
  sha256: pl.Utf8,
  dhash: pl.Utf8,
  width: pl.Int32,
  height: pl.Int32,
  channels: pl.Int32,
  format: pl.Utf8,
  status: pl.Utf8,
} satisfies Record<keyof ManifestRow, unknown>;

/** The columns of manifest.parquet, in order. */
export const MANIFEST_COLUMNS = Object.keys(SCHEMA) as (keyof ManifestRow)[];

/** Writes manifest.parquet, atomically. */
export async function writeManifest(path: string, rows: readonly ManifestRow[]): Promise<void> {
  const columns = MANIFEST_COLUMNS.map((name) =>
    pl.Series(name, rows.map((row) => row[name]), SCHEMA[name])
  );
  await writeAtomic(path, pl.DataFrame(columns).writeParquet());
}

/**
 * Reads manifest.parquet.
 *
 * @throws {DataError} When it is missing, damaged or lacks a column.
 */
export async function readManifest(path: string): Promise<ManifestRow[]> {
  const remedy = "Run notebook 02 again; it writes this file.";
  let table: pl.DataFrame;
  try {
    table = pl.readParquet(await readFile(path));
  } catch (cause) {
    throw new DataError(`${path} cannot be read: ${reasonOf(cause)}`, remedy, {
      file: path,
      cause,
    });
  }
  const missing = MANIFEST_COLUMNS.filter((name) => !table.columns.includes(name));
  if (missing.length > 0) {
    throw new DataError(`${path} lacks the column(s) ${missing.join(", ")}.`, remedy, {
      file: path,
    });
  }
  return table.select(...MANIFEST_COLUMNS).toRecords() as unknown as ManifestRow[];
}

/** The rows that are used: status `ok`. */
export function usable(rows: readonly ManifestRow[]): ManifestRow[] {
  return rows.filter(({ status }) => status === "ok");
}
