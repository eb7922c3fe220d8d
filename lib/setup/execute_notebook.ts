import { join } from "node:path";
import { SetupError } from "../errors.ts";
import { textLines } from "./text_lines.ts";
import { jupyterEnvironment, venvPython } from "./venv.ts";

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
