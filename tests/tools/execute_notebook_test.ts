import assert from "node:assert/strict";
import { join } from "node:path";
import { executeNotebook, type NotebookEvent } from "../../tools/notebooks.ts";
import { inFolder } from "../data/test_images.ts";

/** A notebook file: texts that start with `#` are headings, all others code. */
function notebook(cells: readonly string[]): string {
  return JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {},
    cells: cells.map((source, index) => ({
      id: `cell-${index}`,
      metadata: {},
      source,
      ...(source.startsWith("#")
        ? { cell_type: "markdown" }
        : { cell_type: "code", execution_count: null, outputs: [] }),
    })),
  });
}

/** Executes these cells; gives the outcome, the events and the executed notebook's text. */
async function execute(folder: string, cells: readonly string[], stopAt?: string) {
  const path = join(folder, "01_try.ipynb");
  const output = join(folder, "executed", "01_try.ipynb");
  await Deno.writeTextFile(path, notebook(cells));
  const events: NotebookEvent[] = [];
  const controller = new AbortController();
  const complete = await executeNotebook(path, {
    output,
    env: { GLOMERULI_TEST: "from outside" },
    signal: controller.signal,
    onEvent: (event) => {
      events.push(event);
      if (event.event === stopAt) controller.abort();
    },
  });
  const executed = await Deno.readTextFile(output).catch(() => "");
  return { complete, events, executed };
}

Deno.test("executeNotebook() executes the cells in the notebook's folder and tells of each", async () => {
  await inFolder(async (folder) => {
    const source = "console.log(Deno.cwd(), Deno.env.get('GLOMERULI_TEST'), a + 1);";
    const cells = ["# Title", "const a: number = 41;", "## Where", source];
    const { complete, events, executed } = await execute(folder, cells);
    assert.equal(complete, true);
    assert.deepEqual(events, [
      { event: "start", cells: 2 },
      { event: "cell", number: 1, label: "Title", source: "const a: number = 41;" },
      { event: "cell", number: 2, label: "Where", source },
      { event: "text", line: `${folder} from outside 42` },
      { event: "end" },
    ]);
    assert.match(executed, /from outside 42/);
  });
});

Deno.test("executeNotebook() stops at a failing cell, names the error and keeps the notebook", async () => {
  await inFolder(async (folder) => {
    const { complete, events, executed } = await execute(folder, [
      "const a = 1;",
      "// why\nthrow new RangeError(`a is ${a}`);",
      "console.log('not reached');",
    ]);
    assert.equal(complete, false);
    const source = "throw new RangeError(`a is ${a}`);";
    const cell = events.findLast((event) => event.event === "cell");
    assert.deepEqual(cell, { event: "cell", number: 2, label: source, source });
    const error = events.at(-1);
    assert.ok(error?.event === "error");
    assert.equal(error.name, "RangeError");
    assert.equal(error.message, "a is 1");
    assert.match(executed, /"ename": "RangeError"/);
  });
});

Deno.test("executeNotebook() tells of a kernel that died", async () => {
  await inFolder(async (folder) => {
    const { complete, events } = await execute(folder, ["Deno.exit(3);"]);
    assert.equal(complete, false);
    const error = events.at(-1);
    assert.ok(error?.event === "error" && error.name === "DeadKernelError");
  });
});

Deno.test("executeNotebook() stops when it is told to, in the middle of a loop", async () => {
  await inFolder(async (folder) => {
    const { complete } = await execute(folder, ["while (true);"], "cell");
    assert.equal(complete, false);
  });
});
