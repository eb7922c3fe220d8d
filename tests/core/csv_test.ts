import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { escapeFormula, readCsv, toCsv, unescapeFormula, writeCsv } from "../../lib/core/csv.ts";
import { askPython } from "../ask_python.ts";
import { inFolder, put } from "../data/test_images.ts";

/** Texts made of what breaks CSV readers and spreadsheets. */
const hostile = fc.oneof(
  fc.string({
    unit: fc.constantFrom("a", '"', ",", ";", "'", "=", "+", "-", "@", "\t", "\r", "\n", " ", "é"),
    maxLength: 8,
  }),
  fc.string({ unit: "binary", maxLength: 8 }).filter((text) => text.isWellFormed()),
  fc.constantFrom("=cmd()|' /C calc'!A0", "'=1+1", "''", "\r\n", '""', "＝1", "#N/A", "NaN", "-5"),
);

/** A test with an empty folder of its own. */
const test = (name: string, body: (folder: string) => Promise<void>) =>
  Deno.test(name, () => inFolder(body));

const COLUMNS = ["name", "ground_truth"] as const;

const rowsOf = fc.array(
  fc.record({ name: hostile, ground_truth: hostile }, { noNullPrototype: true }),
  { maxLength: 6 },
);

test("readCsv() gives back every text that writeCsv() wrote", async (folder) => {
  const path = join(folder, "x.csv");
  await fc.assert(
    fc.asyncProperty(rowsOf, async (rows) => {
      await writeCsv(path, COLUMNS, rows);
      assert.deepEqual(await readCsv(path, COLUMNS, ""), rows);
    }),
    { seed: 1, numRuns: 200 },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(hostile, { maxLength: 4 }), async (texts) => {
      const rows = texts.map((only) => ({ only }));
      await writeCsv(path, ["only"], rows);
      assert.deepEqual(await readCsv(path, ["only"], ""), rows);
    }),
    { seed: 2, numRuns: 100 },
  );
});

Deno.test("toCsv() writes what Python's csv module reads", async () => {
  const tables = fc.sample(rowsOf, { seed: 3, numRuns: 300 });
  const texts = tables.map((rows) => toCsv(COLUMNS, rows));
  const read = await askPython(join(import.meta.dirname!, "csv_oracle.py"), texts);
  assert.deepEqual(
    read,
    tables.map((rows) => [
      [...COLUMNS],
      ...rows.map(({ name, ground_truth }) => [escapeFormula(name), escapeFormula(ground_truth)]),
    ]),
  );
});

Deno.test("escapeFormula() leaves no text that a spreadsheet takes for a formula", () => {
  for (const start of ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'"]) {
    assert.equal(escapeFormula(`${start}1+1`), `'${start}1+1`);
  }
  for (const text of ["", "a=1", "a'b", " =1", "5", "é"]) assert.equal(escapeFormula(text), text);
  fc.assert(
    fc.property(hostile, (text) => {
      assert.doesNotMatch(escapeFormula(text), /^[=+\-@\t\r\n]/);
      assert.equal(unescapeFormula(escapeFormula(text)), text);
    }),
    { seed: 4, numRuns: 500 },
  );
});

Deno.test("toCsv() writes numbers and booleans as they are, null as an empty cell", () => {
  const row = { a: -1.5e-7, b: true, c: null, d: "-1" };
  assert.equal(toCsv(["a", "b", "c", "d"], [row]), "a,b,c,d\n-1.5e-7,true,,'-1\n");
  assert.equal(toCsv(["a", "b"], []), "a,b\n");
  assert.equal(toCsv(["a"], [{ a: 1 }], { header: false }), "1\n");
});

test("readCsv() takes a spreadsheet's file: byte-order mark, CRLF, further columns", async (folder) => {
  await put(folder, "x.csv", '\ufeffname,note,ground_truth\r\n"a ""b""",x,"c\r\nd"\r\n');
  assert.deepEqual(await readCsv(join(folder, "x.csv"), COLUMNS, ""), [
    { name: 'a "b"', note: "x", ground_truth: "c\r\nd" },
  ]);
});

test("readCsv() refuses what is missing, malformed or lacks a column, naming the file", async (folder) => {
  const path = join(folder, "x.csv");
  const expected = { name: "DataError", file: path, remedy: "Do this." };
  const refused = (message: RegExp) =>
    assert.rejects(readCsv(path, COLUMNS, "Do this."), { ...expected, message });
  await refused(/cannot be read as CSV/);
  for (
    const [text, reason] of [
      ['name,ground_truth\n"a,b\n', /cannot be read as CSV/],
      ["name,ground_truth\na\n", /cannot be read as CSV/],
      ["name,label\na,b\n", /lacks the column\(s\) ground_truth/],
      ["name\n", /lacks the column\(s\) ground_truth/],
      ["", /lacks the column\(s\) name, ground_truth/],
    ] as const
  ) {
    await put(folder, "x.csv", text);
    await refused(reason);
  }
});
