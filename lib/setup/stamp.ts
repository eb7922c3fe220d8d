import { createHash } from "node:crypto";
import { writeAtomic } from "../files.ts";

/**
 * SHA-256 over several texts, in hexadecimal. Each is preceded by its length, so that no two
 * different lists run together into the same hash.
 */
export function digest(parts: readonly string[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    const bytes = new TextEncoder().encode(part);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest("hex");
}

/**
 * Whether a step left this stamp: its inputs are then what they were when it last came to its end.
 * A missing or unreadable stamp is no stamp.
 */
export async function hasStamp(path: string, stamp: string): Promise<boolean> {
  try {
    return await Deno.readTextFile(path) === stamp;
  } catch {
    return false;
  }
}

/** Leaves a stamp: the last thing that a step does, so that an interrupted one has none. */
export async function writeStamp(path: string, stamp: string): Promise<void> {
  await writeAtomic(path, stamp);
}
