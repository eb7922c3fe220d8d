import assert from "node:assert/strict";
import { cellsAsModule, executionFaults, type Notebook, uncleanCells } from "./code_cells.ts";

const notebook: Notebook = {
  cells: [
    { cell_type: "markdown", source: "# Title" },
    { cell_type: "code", source: ["const a = 1;\n", "a;"], execution_count: null, outputs: [] },
    { cell_type: "code", source: " \n", execution_count: null, outputs: [] },
    { cell_type: "code", source: "await b(a);", execution_count: null, outputs: [] },
  ],
};

/** The notebook with one result per code cell. */
const executed = (data: Record<string, unknown>): Notebook => ({
  cells: notebook.cells.map((cell) => ({
    ...cell,
    execution_count: 1,
    outputs: [{ output_type: "display_data", data }],
  })),
});

Deno.test("cellsAsModule() joins the code cells under Jupyter's numbers", () => {
  assert.equal(
    cellsAsModule(notebook),
    "// cell 1\nconst a = 1;\na;\n\n// cell 2\nawait b(a);\n\nexport {};\n",
  );
});

Deno.test("uncleanCells() finds outputs and numbers, and nothing in a clean notebook", () => {
  assert.deepEqual(uncleanCells(notebook), []);
  assert.deepEqual(uncleanCells(executed({})).slice(0, 2), [
    "cell 1 has outputs",
    "cell 1 has a number",
  ]);
});

Deno.test("executionFaults() finds errors, cells without a number and a missing chart", () => {
  const needs = { chart: true };
  assert.deepEqual(executionFaults(executed({ "text/html": "<div><svg/></div>" }), needs), []);
  assert.deepEqual(executionFaults(executed({ "image/png": "iVBO" }), needs), []);
  assert.deepEqual(executionFaults(executed({ "text/html": "<p>" }), needs), ["there is no chart"]);
  assert.deepEqual(executionFaults(executed({ "text/html": "<p>" }), { chart: false }), []);
  assert.deepEqual(executionFaults(notebook, { chart: false }), [
    "cell 1 was not executed",
    "cell 2 was not executed",
  ]);
  const outputs = [{ output_type: "error", ename: "TypeError", evalue: "no function" }];
  const cell = { cell_type: "code", source: "f()", execution_count: 1, outputs };
  const faults = executionFaults({ cells: [cell] }, { chart: false });
  assert.deepEqual(faults, ["cell 1: TypeError: no function"]);
});
