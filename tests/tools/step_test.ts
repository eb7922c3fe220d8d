import assert from "node:assert/strict";
import { SetupError } from "../../lib/core/errors.ts";
import { runTool, ToolError } from "../../lib/core/python.ts";
import { statusLine } from "../../lib/core/terminal.ts";
import { digest, hasStamp, runSteps, type Step, writeStamp } from "../../tools/step.ts";
import { inFolder } from "../data/test_images.ts";

const step: Step = {
  name: "thing",
  remedy: "Buy a thing.",
  isDone: () => Promise.resolve(false),
  run: () => Promise.resolve(),
};

/** Runs one step; gives what was printed. */
async function runOne(changes: Partial<Step>): Promise<string> {
  let text = "";
  const write = (more: string) => void (text += more);
  const status = statusLine({ isTerminal: false, write, columns: () => 80, now: () => 0 });
  await runSteps([{ ...step, ...changes }], status);
  return text;
}

Deno.test("runSteps() runs what is not done, and prints one line for a step", async () => {
  const run = () => Promise.reject(new Error("should not run"));
  const ready = await runOne({ isDone: () => Promise.resolve(true), run });
  assert.match(ready, /^set-up {2}thing +ready\n$/);
  assert.match(await runOne({}), /^set-up {2}thing +done \(0\.\d s\)\n$/);
});

Deno.test("runSteps() says which step failed, why and what to do: the error's own advice first", async () => {
  const cases: [Error, RegExp, string][] = [
    [new ToolError("g++ exited with 1\nno such header"), /"thing"[^]*no such header$/, step.remedy],
    [new SetupError("No Python.", "Install Python."), /"thing"[^]*No Python\.$/, "Install Python."],
  ];
  for (const [cause, what, remedy] of cases) {
    await assert.rejects(runOne({ run: () => Promise.reject(cause) }), (error) => {
      assert.ok(error instanceof SetupError);
      assert.match(error.what, what);
      assert.equal(error.remedy, remedy);
      return true;
    });
  }
});

Deno.test("hasStamp() holds for the same inputs only, and not for an interrupted step", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/stamp`;
    assert.equal(await hasStamp(path, digest(["a", "b"])), false);
    await writeStamp(path, digest(["a", "b"]));
    assert.equal(await hasStamp(path, digest(["a", "b"])), true);
    assert.equal(await hasStamp(path, digest(["a", "c"])), false);
  });
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
