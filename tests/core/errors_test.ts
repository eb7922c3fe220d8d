import assert from "node:assert/strict";
import * as errors from "../../lib/core/errors.ts";

Deno.test("ProjectError says what happened and what to do, and keeps the cause", () => {
  const cause = new Error("underneath");
  const [what, remedy, file] = ["split.csv is damaged.", "Run notebook 03.", "split.csv"];
  const error = new errors.DataError(what, remedy, { cause, file });
  assert.equal(error.message, "split.csv is damaged.\n  What to do: Run notebook 03.");
  const kept = [error.what, error.remedy, error.file, error.cause];
  assert.deepEqual(kept, [what, remedy, file, cause]);
  assert.equal(errors.reasonOf(error), "split.csv is damaged.");
  assert.deepEqual([errors.reasonOf(cause), errors.reasonOf("x")], ["underneath", "x"]);
});

Deno.test("every error is a ProjectError under its own name", () => {
  const { reasonOf: _, ...kinds } = errors;
  for (const [name, Kind] of Object.entries(kinds)) {
    const error = new Kind("a", "b");
    assert.ok(error instanceof errors.ProjectError && error instanceof Error);
    assert.equal(error.name, name);
  }
  assert.ok(new errors.WeightsMissingError("a", "b") instanceof errors.ModelError);
});

Deno.test("ImageError names the image, quoted, and has the reason by itself", () => {
  const error = new errors.ImageError('a\n"b".png', "it is empty.");
  assert.deepEqual([error.path, error.reason], ['a\n"b".png', "it is empty."]);
  assert.match(error.message, /^"a\\n\\"b\\"\.png" could not be read as an image: it is empty\.\n/);
});
