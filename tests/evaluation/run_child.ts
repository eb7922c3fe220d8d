import { join } from "node:path";
import type { Places } from "./with_new_images.ts";

/** How an evaluation in a process of its own is disturbed, and when. */
export interface Disturbance {
  /** Sent when so many images are done; in images of the whole folder. */
  signal?: { name: "SIGINT" | "SIGKILL"; at: number };
  /** Most that a file may hold, in blocks of 512 bytes: writing more fails, as on a full disk. */
  fileBlocks?: number;
  /** What the command is put behind. */
  before?: readonly string[];
}

/** Runs an evaluation in a process of its own; returns the last line it said. */
export async function evaluateInChild(
  { folder, modelFolder, out }: Places,
  { signal, fileBlocks, before = [] }: Disturbance,
): Promise<string> {
  const limit = fileBlocks === undefined ? "" : `trap '' XFSZ; ulimit -f ${fileBlocks}; `;
  const script = join(import.meta.dirname!, "evaluate_child.ts");
  const child = new Deno.Command("sh", {
    args: ["-c", `${limit}exec "$@"`, "sh", ...before, Deno.execPath(), "run", "-A", "--no-check"]
      .concat(script, folder, modelFolder, out, String(signal?.at)),
    env: { TF_CPP_MIN_LOG_LEVEL: "2" },
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let last = "";
  let text = "";
  let sent = false;
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      last = line;
      if (!signal || sent || !(Number(line) >= signal.at)) continue;
      sent = true;
      child.kill(signal.name);
    }
  }
  await child.status;
  return last;
}
