import { basename, join } from "node:path";
import { OVERRIDES_VARIABLE } from "../config.ts";
import { ProjectError } from "../errors.ts";
import { runPaths } from "../paths.ts";
import { executeNotebook, type NotebookEvent } from "./execute_notebook.ts";
import { duration, printable, type StatusLine, statusLine } from "./status_line.ts";

/** A cell of a notebook failed. */
export class NotebookError extends ProjectError {}

/** Which notebooks, and with what: see {@linkcode runNotebooks}. */
export interface NotebookRun {
  /** Folder of the notebooks. */
  folder: string;
  run: string;
  /** First and last number, 1 to 7. */
  from: number;
  to: number;
  /** Config values of the command line. */
  overrides: Record<string, unknown>;
  signal?: AbortSignal;
}

/** The numbered notebooks of a folder, in order. */
export async function listNotebooks(folder: string, from = 1, to = 7): Promise<string[]> {
  const names: string[] = [];
  for await (const { name, isFile } of Deno.readDir(folder)) {
    const number = Number(/^(\d\d)_.+\.ipynb$/.exec(name)?.[1]);
    if (isFile && number >= from && number <= to) names.push(name);
  }
  return names.sort().map((name) => join(folder, name));
}

/**
 * Executes the notebooks in order, showing which notebook and cell it is in. The executed ones are
 * kept in results/RUN/notebooks/. It stops at the first that fails.
 *
 * @throws {NotebookError} Naming the notebook, the cell and its error.
 */
export async function runNotebooks(options: NotebookRun): Promise<void> {
  const paths = runPaths(options.run);
  const status = statusLine();
  for (const path of await listNotebooks(options.folder, options.from, options.to)) {
    const name = basename(path, ".ipynb");
    const output = join(paths.notebooks, `${name}.ipynb`);
    const display = notebookDisplay(name, status);
    const complete = await executeNotebook(path, {
      output,
      env: { [OVERRIDES_VARIABLE]: JSON.stringify(options.overrides) },
      onEvent: display.onEvent,
      ...(options.signal ? { signal: options.signal } : {}),
    }).finally(display.close);
    if (options.signal?.aborted) return;
    if (!complete) throw notebookError(name, output, display.failure());
  }
}

interface Failure {
  cell: Extract<NotebookEvent, { event: "cell" }>;
  error: Extract<NotebookEvent, { event: "error" }>;
}

/** Shows a notebook's events: the current cell live, and a line for every cell or notebook. */
function notebookDisplay(name: string, status: StatusLine) {
  const start = performance.now();
  let cells = 0;
  let cell: Failure["cell"] = { event: "cell", number: 0, label: "", source: "" };
  let cellStart = start;
  let line = "";
  let error: Failure["error"] | undefined;
  const where = () =>
    cell.number === 0
      ? `${name}  starting the kernel`
      : `${name}  cell ${cell.number}/${cells}  '${cell.label}'  ` +
        duration(performance.now() - cellStart);
  const show = () => status.update(line ? `${where()}  ${line}` : where());
  const finishCell = () => {
    if (cell.number > 0) status.log(printable(where()));
  };
  const ticking = setInterval(show, 1000);
  return {
    onEvent(event: NotebookEvent) {
      if (event.event === "start") cells = event.cells;
      if (event.event === "cell") {
        finishCell();
        cell = event;
        cellStart = performance.now();
        line = "";
      }
      if (event.event === "text") line = event.line;
      if (event.event === "error") error = event;
      if (event.event === "end") {
        finishCell();
        status.print(`${name}  done (${cells} cells, ${duration(performance.now() - start)})`);
        return;
      }
      show();
    },
    failure: (): Failure => ({
      cell,
      error: error ?? { event: "error", name: "Error", message: "unknown", traceback: "" },
    }),
    close: () => clearInterval(ticking),
  };
}

function notebookError(name: string, output: string, { cell, error }: Failure): NotebookError {
  const dead = error.name === "DeadKernelError";
  // The traceback repeats the message; without it, the message is all there is.
  const details = (error.traceback.trim() || `${error.name}: ${error.message}`)
    .split("\n").map((line) => `  ${printable(line)}`).join("\n");
  return new NotebookError(
    `${name}, cell ${cell.number} ('${printable(cell.label)}') failed.\n` +
      `  The cell begins: ${printable(cell.source)}\n${details}`,
    dead
      ? "The kernel ended by itself, most often for want of memory: close other programs, or " +
        "lower training.batchSize and training.cacheMegabytes, then run again."
      : `Correct what the error names, then run again with --from ${name.slice(0, 2)}. The ` +
        `notebook as far as it came is ${output}.`,
  );
}
