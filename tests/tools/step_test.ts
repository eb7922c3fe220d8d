import assert from "node:assert/strict";
import { SetupError } from "../../lib/core/errors.ts";
import { runTool, statusLine, ToolError } from "../../lib/core/terminal.ts";
import { digest, hasStamp, runSteps, type Step, writeStamp } from "../../tools/step.ts";

/** A log in memory and the status line that writes to it. */
function log() {
  const lines: string[] = [];
  const status = statusLine({
    isTerminal: false,
    write: (text) => lines.push(text),
    columns: () => 80,
    now: () => 0,
  });
  return { lines, status };
}

const step: Step = {
  name: "thing",
  remedy: "Buy a thing.",
  isDone: () => Promise.resolve(false),
  run: () => Promise.resolve(),
};

Deno.test("runSteps() does nothing when there is nothing to do", async () => {
  const { lines, status } = log();
  const run = () => Promise.reject(new Error("should not run"));
  await runSteps([{ ...step, isDone: () => Promise.resolve(true), run }], status);
  assert.match(lines.join(""), /^set-up {2}thing +ready\n$/);
});

Deno.test("runSteps() prints one line for a step that was done", async () => {
  const { lines, status } = log();
  await runSteps([step], status);
  assert.match(lines.join(""), /^set-up {2}thing +done \(0\.\d s\)\n$/);
});

Deno.test("runSteps() says which step failed, why and what to do", async () => {
  const { status } = log();
  const run = () => Promise.reject(new ToolError("g++ exited with 1\nno such header"));
  await assert.rejects(runSteps([{ ...step, run }], status), (error) => {
    assert.ok(error instanceof SetupError);
    assert.match(error.what, /"thing"[^]*no such header$/);
    assert.equal(error.remedy, step.remedy);
    return true;
  });
});

Deno.test("runSteps() keeps the advice of an error that brings its own", async () => {
  const { status } = log();
  const run = () => Promise.reject(new SetupError("No Python.", "Install Python."));
  await assert.rejects(runSteps([{ ...step, run }], status), {
    name: "SetupError",
    remedy: "Install Python.",
  });
});

Deno.test("hasStamp() holds for the same inputs only, and not for an interrupted step", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/stamp`;
    assert.equal(await hasStamp(path, digest(["a", "b"])), false);
    await writeStamp(path, digest(["a", "b"]));
    assert.equal(await hasStamp(path, digest(["a", "b"])), true);
    assert.equal(await hasStamp(path, digest(["a", "c"])), false);
    assert.equal(await hasStamp(path, digest(["ab"])), false);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("digest() keeps apart lists that run together", () => {
  assert.notEqual(digest(["ab", "c"]), digest(["a", "bc"]));
  assert.notEqual(digest(["a"]), digest(["a", ""]));
});

Deno.test("runTool() returns the output, and quotes the last lines of a tool that fails", async () => {
  const lines: string[] = [];
  const onLine = (line: string) => lines.push(line);
  assert.equal(await runTool("sh", ["-c", "echo one; echo two >&2"], { onLine }), "one");
  assert.deepEqual(lines.sort(), ["one", "two"]);
  await assert.rejects(runTool("sh", ["-c", "echo why >&2; exit 3"]), /sh exited with 3\nwhy$/);
  await assert.rejects(runTool("/no/such/tool", []), ToolError);
});
