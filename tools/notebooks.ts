import { basename, join } from "node:path";
import { OVERRIDES_VARIABLE } from "../lib/core/config.ts";
import { ProjectError, SetupError } from "../lib/core/errors.ts";
import { runPaths } from "../lib/core/paths.ts";
import { textLines, venvPython } from "../lib/core/python.ts";
import { duration, printable, type StatusLine, statusLine } from "../lib/core/terminal.ts";
import { jupyterEnvironment } from "./venv.ts";

/** A cell of a notebook failed. */
export class NotebookError extends ProjectError {}

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
 * Executes notebooks in order, showing which notebook and cell it is in. The executed ones are kept in
 * results/RUN/notebooks/. It stops at the first that fails.
 *
 * @param overrides Config values of the command line.
 * @throws {NotebookError} Naming the notebook, the cell and its error.
 */
export async function runNotebooks(
  notebooks: readonly string[],
  run: string,
  overrides: Record<string, unknown>,
  signal: AbortSignal,
): Promise<void> {
  const status = statusLine();
  const env = { [OVERRIDES_VARIABLE]: JSON.stringify(overrides) };
  for (const path of notebooks) {
    const name = basename(path, ".ipynb");
    const output = join(runPaths(run).notebooks, `${name}.ipynb`);
    const { onEvent, failure, close } = notebookDisplay(name, status);
    const complete = await executeNotebook(path, { output, env, onEvent, signal }).finally(close);
    if (signal.aborted) return;
    if (!complete) throw notebookError(name, output, failure());
  }
}

/** Shows a notebook's events: the current cell live, and a line for every cell or notebook. */
function notebookDisplay(name: string, status: StatusLine) {
  const start = performance.now();
  let cells = 0;
  let cell = { number: 0, label: "", source: "" };
  let cellStart = start;
  let line = "";
  let error = { name: "Error", message: "unknown", traceback: "" };
  const where = () => {
    const elapsed = duration(performance.now() - cellStart);
    return cell.number === 0
      ? `${name}  starting the kernel`
      : `${name}  cell ${cell.number}/${cells}  '${cell.label}'  ${elapsed}`;
  };
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
    failure: () => ({ cell, error }),
    close: () => clearInterval(ticking),
  };
}

function notebookError(
  name: string,
  output: string,
  { cell, error }: ReturnType<ReturnType<typeof notebookDisplay>["failure"]>,
): NotebookError {
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

/**
 * Executes one notebook in the Deno kernel of the .venv, in the notebook's own folder.
 *
 * @param options `output`: the executed notebook is written here, also when a cell fails; `env` is
 *   added to the kernel's environment; `signal` ends the kernel.
 * @returns Whether all its cells came to their end; what failed is in the "error" event.
 * @throws {SetupError} When it could not be executed at all.
 */
export async function executeNotebook(
  path: string,
  { output, env, signal, onEvent }: {
    output: string;
    env?: Record<string, string>;
    signal?: AbortSignal;
    onEvent: (event: NotebookEvent) => void;
  },
): Promise<boolean> {
  const child = new Deno.Command(venvPython, {
    args: [join(import.meta.dirname!, "execute_notebook.py"), path, output],
    env: { ...jupyterEnvironment, ...env },
    ...(signal ? { signal } : {}),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let finished = false;
  let failed = false;
  const events = (async () => {
    for await (const line of textLines(child.stdout)) {
      const event = JSON.parse(line) as NotebookEvent;
      finished ||= event.event === "end";
      failed ||= event.event === "error";
      onEvent(event);
    }
  })();
  let complaints: string[] = [];
  const errors = (async () => {
    for await (const line of textLines(child.stderr)) {
      complaints = [...complaints.slice(-14), line];
    }
  })();
  await Promise.all([events, errors, child.status]);
  // Held open until here: when this process is killed it closes, and the other one ends.
  await child.stdin.close().catch(() => {});
  if (!finished && !failed && !signal?.aborted) {
    throw new SetupError(
      `${path} could not be executed:\n${complaints.join("\n")}`,
      "Run `deno task setup`; if that does not help, delete the folder .venv and run it again.",
      { file: path },
    );
  }
  return finished;
}
