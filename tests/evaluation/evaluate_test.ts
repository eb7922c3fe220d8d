import assert from "node:assert/strict";
import { ConfigError } from "../../lib/errors.ts";
import { parseEvaluateArguments } from "../../lib/evaluation/evaluate.ts";

const parse = (...args: string[]) => parseEvaluateArguments(args, "/here");

Deno.test("parseEvaluateArguments() takes a folder, a run and a file, from where they were typed", () => {
  assert.deepEqual(parse("new"), { folder: "/here/new", run: "default", out: undefined });
  assert.deepEqual(parse("/abs/new", "--run", "pas", "--out", "../x.csv"), {
    folder: "/abs/new",
    run: "pas",
    out: "/x.csv",
  });
  assert.deepEqual(parse("--out=y.csv", "."), {
    folder: "/here",
    run: "default",
    out: "/here/y.csv",
  });
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
