/** What is needed here of a notebook file (nbformat 4). */
export interface Notebook {
  cells: readonly NotebookCell[];
}

interface NotebookCell {
  cell_type: string;
  source: string | readonly string[]; // lines with their ends, or one text
  execution_count?: number | null;
  outputs?: readonly NotebookOutput[];
}

interface NotebookOutput {
  output_type: string;
  data?: Readonly<Record<string, unknown>>;
  ename?: string;
  evalue?: string;
}

/**
 * The code cells of a notebook as one module, which `deno check` and `deno lint` can read. Cells are
 * numbered as Jupyter numbers them.
 */
export function cellsAsModule(notebook: Notebook): string {
  const cells = codeCells(notebook).map((cell, index) => `// cell ${index + 1}\n${text(cell)}\n`);
  // A file without import or export would be a script, and could not await.
  return [...cells, "export {};\n"].join("\n");
}

/** The texts of the code cells of a notebook that are not empty. */
export function codeTexts(notebook: Notebook): string[] {
  return codeCells(notebook).map(text);
}

/** What must not be in a committed notebook: outputs and execution counts. */
export function uncleanCells(notebook: Notebook): string[] {
  return codeCells(notebook).flatMap((cell, index) => [
    ...((cell.outputs ?? []).length > 0 ? [`cell ${index + 1} has outputs`] : []),
    ...((cell.execution_count ?? null) !== null ? [`cell ${index + 1} has a number`] : []),
  ]);
}

/** Why an executed notebook is not as it should be; empty when it is. */
export function executionFaults(notebook: Notebook, needs: { chart: boolean }): string[] {
  const cells = codeCells(notebook);
  const faults = cells.flatMap((cell, index) => {
    const error = cell.outputs?.find((output) => output.output_type === "error");
    if (error) return [`cell ${index + 1}: ${error.ename}: ${error.evalue}`];
    return (cell.execution_count ?? null) === null ? [`cell ${index + 1} was not executed`] : [];
  });
  const outputs = cells.flatMap((cell) => cell.outputs ?? []);
  return needs.chart && !outputs.some(isPicture) ? [...faults, "there is no chart"] : faults;
}

function isPicture({ data = {} }: NotebookOutput): boolean {
  const html = data["text/html"];
  return "image/png" in data || "image/svg+xml" in data ||
    /<(svg|img)\b/.test(Array.isArray(html) ? html.join("") : String(html ?? ""));
}

function codeCells(notebook: Notebook): NotebookCell[] {
  return notebook.cells.filter((cell) => cell.cell_type === "code" && text(cell).trim() !== "");
}

function text({ source }: NotebookCell): string {
  return typeof source === "string" ? source : source.join("");
}
