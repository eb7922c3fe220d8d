import { textLines, venvPython } from "../lib/core/python.ts";

/** A Python program that answers each line with one line. */
export interface PythonPeer extends AsyncDisposable {
  ask(line: string): Promise<string>;
}

/** Starts a script with the Python of the .venv; it ends when the peer is disposed. */
export function startPython(args: string[]): PythonPeer {
  const child = new Deno.Command(venvPython, {
    args,
    env: { TF_CPP_MIN_LOG_LEVEL: "3", CUDA_VISIBLE_DEVICES: "" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const input = child.stdin.getWriter();
  const answers = textLines(child.stdout)[Symbol.asyncIterator]();
  return {
    ask: async (line) => {
      await input.write(new TextEncoder().encode(`${line}\n`));
      const { value, done } = await answers.next();
      if (done) throw new Error(`${args[0]} ended without an answer to ${line}`);
      return value;
    },
    [Symbol.asyncDispose]: async () => {
      await input.close();
      await child.status;
    },
  };
}
