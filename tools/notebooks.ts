import { basename, join } from "node:path";
import { OVERRIDES_VARIABLE } from "../lib/core/config.ts";
import { ProjectError, SetupError } from "../lib/core/errors.ts";
import { runPaths } from "../lib/core/paths.ts";
import {
  duration,
  printable,
  type StatusLine,
  statusLine,
  textLines,
  venvPython,
} from "../lib/core/terminal.ts";
import { jupyterEnvironment } from "./venv.ts";

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

/** What a notebook does while it is executed; written by execute_notebook.py. */
export type NotebookEvent =
  | { event: "start"; cells: number }
  | { event: "cell"; number: number; label: string; source: string }
  | { event: "text"; line: string }
  | { event: "error"; name: string; message: string; traceback: string }
  | { event: "end" };

/** How to execute a notebook: see {@linkcode executeNotebook}. */
export interface ExecuteOptions {
  /** The executed notebook is written here, also when a cell fails. */
  output: string;
  /** Added to the kernel's environment. */
  env?: Record<string, string>;
  /** Ends the kernel. */
  signal?: AbortSignal;
  onEvent?: (event: NotebookEvent) => void;
}

/**
 * Executes one notebook in the Deno kernel of the .venv, in the notebook's own folder.
 *
 * @returns Whether all its cells came to their end; what failed is in the "error" event.
 * @throws {SetupError} When it could not be executed at all.
 */
export async function executeNotebook(path: string, options: ExecuteOptions): Promise<boolean> {
  const child = new Deno.Command(venvPython, {
    args: [join(import.meta.dirname!, "execute_notebook.py"), path, options.output],
    env: { ...jupyterEnvironment, ...options.env },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stop = () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // it has ended by itself
    }
  };
  options.signal?.addEventListener("abort", stop);
  let finished = false;
  let failed = false;
  const events = (async () => {
    for await (const line of textLines(child.stdout)) {
      const event = JSON.parse(line) as NotebookEvent;
      finished ||= event.event === "end";
      failed ||= event.event === "error";
      options.onEvent?.(event);
    }
  })();
  const complaints: string[] = [];
  const errors = (async () => {
    for await (const line of textLines(child.stderr)) {
      complaints.push(line);
      if (complaints.length > 15) complaints.shift();
    }
  })();
  await Promise.all([events, errors, child.status]);
  options.signal?.removeEventListener("abort", stop);
  // Held open until here: when this process is killed it closes, and the other one ends.
  await child.stdin.close().catch(() => {});
  if (!finished && !failed && !options.signal?.aborted) {
    throw new SetupError(
      `${path} could not be executed:\n${complaints.join("\n")}`,
      "Run `deno task setup`; if that does not help, delete the folder .venv and run it again.",
    );
  }
  return finished;
}
