import { join } from "node:path";
import { reasonOf } from "./errors.ts";
import { projectRoot } from "./paths.ts";

/** A tool could not be started, or ended with an error. The message holds its last lines. */
export class ToolError extends Error {
  override name = "ToolError";
}

/** Lines of a failing tool's output that its error quotes. */
const TAIL = 15;

/**
 * Runs a tool to its end, without a standard input.
 *
 * @param options `onLine` receives each line of output and of errors as it comes.
 * @returns What it wrote to standard output.
 * @throws {ToolError} When it is not there, or exits with another code than 0.
 */
export async function runTool(
  command: string,
  args: readonly string[],
  { onLine, ...options }: {
    cwd?: string;
    env?: Record<string, string>;
    onLine?: (line: string) => void;
  } = {},
): Promise<string> {
  let child: Deno.ChildProcess;
  try {
    const streams = { stdin: "null", stdout: "piped", stderr: "piped" } as const;
    child = new Deno.Command(command, { args: [...args], ...options, ...streams }).spawn();
  } catch (cause) {
    throw new ToolError(`${command} could not be started: ${reasonOf(cause)}`, { cause });
  }
  const output: string[] = [];
  const tail: string[] = [];
  const collect = async (stream: ReadableStream<Uint8Array>, keep: boolean) => {
    for await (const line of textLines(stream)) {
      if (keep) output.push(line);
      if (line.trim() === "") continue;
      tail.push(line);
      if (tail.length > TAIL) tail.shift();
      onLine?.(line);
    }
  };
  const [status] = await Promise.all([
    child.status,
    collect(child.stdout, true),
    collect(child.stderr, false),
  ]);
  if (!status.success) {
    const how = status.signal ? `was ended by ${status.signal}` : `exited with ${status.code}`;
    throw new ToolError([`${command} ${how}`, ...tail].join("\n"));
  }
  return output.join("\n");
}

/**
 * The lines of a byte stream as they come, without their ends (`\n`, `\r\n`, or the lone `\r` with
 * which progress displays start over). A last line without an end counts too.
 */
export async function* textLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of stream) {
    const parts = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n|\r(?!$)/);
    rest = parts.pop() ?? "";
    yield* parts;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}

/** The project's own Python environment. */
export const venvFolder: string = join(projectRoot, ".venv");

/** Its interpreter. Tools are started as `python -m TOOL`, which survives moving the project. */
export const venvPython: string = join(venvFolder, "bin", "python");
