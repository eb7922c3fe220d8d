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
async function execute(folder: string, cells: readonly string[], signal?: AbortSignal) {
  const path = join(folder, "01_try.ipynb");
  const output = join(folder, "executed", "01_try.ipynb");
  await Deno.writeTextFile(path, notebook(cells));
  const events: NotebookEvent[] = [];
  const complete = await executeNotebook(path, {
    output,
    env: { GLOMERULI_TEST: "from outside" },
    onEvent: (event) => events.push(event),
    ...(signal ? { signal } : {}),
  });
  return { complete, events, executed: await Deno.readTextFile(output), output };
}

Deno.test("executeNotebook() executes the cells in the notebook's folder and tells of each", async () => {
  await inFolder(async (folder) => {
    const { complete, events, executed } = await execute(folder, [
      "# Title",
      "const a: number = 41;",
      "## Where",
      "console.log(Deno.cwd(), Deno.env.get('GLOMERULI_TEST'), a + 1);",
    ]);
    assert.equal(complete, true);
    assert.deepEqual(events, [
      { event: "start", cells: 2 },
      { event: "cell", number: 1, label: "Title", source: "const a: number = 41;" },
      {
        event: "cell",
        number: 2,
        label: "Where",
        source: "console.log(Deno.cwd(), Deno.env.get('GLOMERULI_TEST'), a + 1);",
      },
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
    const cells = events.filter((event) => event.event === "cell");
    assert.deepEqual(cells.at(-1), {
      event: "cell",
      number: 2,
      label: "throw new RangeError(`a is ${a}`);",
      source: "throw new RangeError(`a is ${a}`);",
    });
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
    const stop = new AbortController();
    const path = join(folder, "01_loop.ipynb");
    await Deno.writeTextFile(path, notebook(["while (true);"]));
    const complete = await executeNotebook(path, {
      output: join(folder, "out.ipynb"),
      signal: stop.signal,
      onEvent: (event) => event.event === "cell" && stop.abort(),
    });
    assert.equal(complete, false);
  });
});
