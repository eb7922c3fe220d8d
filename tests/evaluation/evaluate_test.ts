import assert from "node:assert/strict";
import { ConfigError } from "../../lib/core/errors.ts";
import { parseFormats } from "../../lib/evaluation/export.ts";
import { parseShard } from "../../lib/evaluation/work.ts";
import { parseEvaluateArguments } from "../../tools/evaluate.ts";

const parse = (...args: string[]) => parseEvaluateArguments(args, "/here")!;

Deno.test("parseEvaluateArguments() takes a folder, a run and files, from where they were typed", () => {
  const usual = { followLinks: false, run: "default" };
  assert.deepEqual(parse("new"), { ...usual, folder: "/here/new", options: {} });
  assert.deepEqual(parse("/abs/new", "--run", "pas", "--out", "../x.csv", "--force"), {
    ...usual,
    folder: "/abs/new",
    run: "pas",
    options: { out: "/x.csv", force: true },
  });
  assert.deepEqual(parse("--out=y.csv", "."), {
    ...usual,
    folder: "/here",
    options: { out: "/here/y.csv" },
  });
  assert.deepEqual(parse("a", "--shard", "2/12").options, { shard: "2/12" });
  assert.deepEqual(
    parse("a", "--merge", "--format", "csv, parquet,csv", "--sidecar", "s.csv").options,
    { merge: true, format: "csv, parquet,csv", sidecar: "/here/s.csv" },
  );
  assert.equal(parse("a", "--follow-links").followLinks, true);
  assert.equal(parse("--help"), null);
  assert.equal(parse("new", "-h"), null);
});

Deno.test("parseEvaluateArguments() refuses what it cannot use, with its usage", () => {
  const cases: [string[], RegExp][] = [
    [[], /One folder of images must be named/],
    [["a", "b"], /One folder of images must be named/],
    [["a", "--runs", "x"], /--runs/],
    [["a", "--run"], /--run/],
    [[""], /One folder of images must be named/],
    [["a", "--out", ""], /--out needs a file/],
    [["a", "--sidecar="], /--sidecar needs a file/],
    [["a", "--force=yes"], /--force/],
    [["a", "--shard", "1/2", "--merge"], /--shard evaluates a part/],
    [["a", "--shard", "1/2", "--format", "jsonl"], /--shard evaluates a part/],
  ];
  for (const [args, message] of cases) {
    assert.throws(() => parse(...args), (error: unknown) => {
      assert(error instanceof ConfigError);
      assert.match(error.message, message);
      assert.match(error.remedy, /deno task evaluate DIR/);
      return true;
    });
  }
});

Deno.test("parseShard() and parseFormats() refuse parts and formats that there are not", () => {
  for (const shard of ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "1/99999", ""]) {
    assert.throws(() => parseShard(shard), /--shard .*: a part and the number/);
  }
  for (const format of ["xlsx", "", "csv,", "csv;jsonl"]) {
    assert.throws(() => parseFormats(format), /there is no format/);
  }
});
