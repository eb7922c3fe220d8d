import { join } from "node:path";
import { projectRoot } from "../lib/core/paths.ts";

/** Sends a JSON request to a script in the Python of the .venv and returns its JSON answer. */
export async function askPython(script: string, request: unknown): Promise<unknown> {
  const process = new Deno.Command(join(projectRoot, ".venv", "bin", "python"), {
    args: [script],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const input = process.stdin.getWriter();
  await input.write(new TextEncoder().encode(JSON.stringify(request)));
  await input.close();
  const { success, stdout, stderr } = await process.output();
  if (!success) throw new Error(`${script} failed:\n${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}
