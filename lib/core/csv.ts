import { parse } from "csv-parse/sync";
import { stringify } from "csv-stringify/sync";
import { DataError, reasonOf } from "./errors.ts";
import { writeAll, writeAtomicWith } from "./files.ts";

/** One cell as it is written: `null` becomes an empty cell. */
type CsvValue = string | number | boolean | null;

/** A text that a spreadsheet could take for a formula, or that could be mistaken for an escaped one. */
const NEEDS_ESCAPE = /^['=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/;

/**
 * Makes a text cell inert in spreadsheets: one apostrophe is put before a leading `=`, `+`, `-`,
 * `@` (their full-width forms too), tab, line break or apostrophe (OWASP, CSV injection).
 * {@linkcode unescapeFormula} takes it away again, so no name is lost.
 */
export function escapeFormula(text: string): string {
  return NEEDS_ESCAPE.test(text) ? `'${text}` : text;
}

/** The inverse of {@linkcode escapeFormula}. */
export function unescapeFormula(text: string): string {
  return text.startsWith("'") ? text.slice(1) : text;
}

/** Rows as CSV text (RFC 4180 quoting, `\n` line ends), text cells made inert for spreadsheets. */
export function toCsv<C extends string>(
  columns: readonly C[],
  rows: Iterable<Readonly<Record<C, CsvValue>>>,
  options: { header?: boolean } = {},
): string {
  const cells = Array.from(rows, (row) =>
    columns.map((column) => {
      const value = row[column];
      return typeof value === "string" ? escapeFormula(value) : String(value ?? "");
    }));
  const header = options.header ?? true;
  return stringify(cells, { header, columns: [...columns], quoted_match: /[\r\n]/ });
}

/** Rows that are turned into text at a time. */
const ROWS_AT_A_TIME = 1000;

/** Writes rows as a CSV file with a header, atomically. Memory does not grow with their number. */
export async function writeCsv<C extends string>(
  path: string,
  columns: readonly C[],
  rows: Iterable<Readonly<Record<C, CsvValue>>> | AsyncIterable<Readonly<Record<C, CsvValue>>>,
): Promise<void> {
  const encoder = new TextEncoder();
  await writeAtomicWith(path, async (file) => {
    let waiting: Readonly<Record<C, CsvValue>>[] = [];
    let header = true;
    const write = async () => {
      await writeAll(file, encoder.encode(toCsv(columns, waiting, { header })));
      [waiting, header] = [[], false];
    };
    for await (const row of rows) {
      waiting.push(row);
      if (waiting.length === ROWS_AT_A_TIME) await write();
    }
    if (header || waiting.length > 0) await write();
  });
}

/**
 * Reads a CSV file with a header, undoing {@linkcode escapeFormula}. Cells may be separated by
 * semicolons, as Excel does in many countries.
 *
 * @param required Columns that must be there; others are returned as well.
 * @param remedy What the reader should do when the file is missing or malformed.
 * @throws {DataError} When it is missing, malformed or lacks a column.
 */
export async function readCsv<C extends string>(
  path: string,
  required: readonly C[],
  remedy: string,
): Promise<Record<C, string>[]> {
  let records: Record<string, string>[];
  let present: string[] = [];
  try {
    const columns = (header: string[]) => present = header;
    const text = await Deno.readTextFile(path);
    records = parse(text, { columns, bom: true, delimiter: delimiterOf(text) });
  } catch (cause) {
    const what = `${path} cannot be read as CSV: ${reasonOf(cause)}`;
    throw new DataError(what, remedy, { cause, file: path });
  }
  const missing = required.filter((name) => !present.includes(name));
  if (missing.length > 0) {
    const what = `${path} lacks the column(s) ${missing.join(", ")}.`;
    throw new DataError(what, remedy, { file: path });
  }
  return records.map((record) =>
    Object.fromEntries(
      Object.entries(record).map(([name, text]) => [name, unescapeFormula(text)]),
    ) as Record<C, string>
  );
}

function delimiterOf(text: string): string {
  const [header = ""] = text.split(/[\r\n]/, 1);
  return header.includes(";") && !header.includes(",") ? ";" : ",";
}
