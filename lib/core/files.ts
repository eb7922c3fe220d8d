import { createHash } from "node:crypto";
import { basename, dirname, join, relative, sep } from "node:path";
import { DataError } from "./errors.ts";

/**
 * Writes a file so that a reader sees the old content or the new, never half: a temporary file
 * beside it, flushed to disk, then renamed over it. Folders are made as needed.
 *
 * @throws The file system's own error (disk full, no permission); the old file is then untouched.
 */
export async function writeAtomic(path: string, content: string | Uint8Array): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  await writeAtomicWith(path, (file) => writeAll(file, bytes));
}

/**
 * As {@linkcode writeAtomic}, for content that is produced piece by piece.
 *
 * @param write Receives the open temporary file; what it throws leaves the old file untouched.
 */
export async function writeAtomicWith(
  path: string,
  write: (file: Deno.FsFile) => Promise<void>,
): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const unique = `${Deno.pid}.${crypto.randomUUID().slice(0, 8)}`;
  const temporary = join(dirname(path), `.${basename(path)}.${unique}.tmp`);
  try {
    {
      using file = await Deno.open(temporary, { write: true, createNew: true });
      await write(file);
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/** Writes all bytes at the file's position; a single `write` may take fewer. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.length) written += await file.write(bytes.subarray(written));
}

/** Fills `bytes` from the file's position on; a single `read` may give fewer. @returns How many. */
export async function readAll(file: Deno.FsFile, bytes: Uint8Array): Promise<number> {
  let filled = 0;
  while (filled < bytes.length) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) break; // the file ends here
    filled += count;
  }
  return filled;
}

/** Whether something is at this path (a dangling link is not). */
export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    const { NotFound, NotADirectory } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return false;
    throw error;
  }
}

/**
 * Reads a JSON file that an earlier step should have written.
 *
 * @param remedy What the reader should do when it is missing or damaged.
 * @throws {DataError} When it is missing or is not JSON.
 */
export async function readJson(path: string, remedy: string): Promise<unknown> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    throw new DataError(`${path} cannot be read.`, remedy, { cause, file: path });
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${path} is not valid JSON.`, remedy, { cause, file: path });
  }
}

/** Writes a value as indented JSON, atomically. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeAtomic(path, JSON.stringify(value, null, 2) + "\n");
}

/** SHA-256 of a file's content, in hexadecimal. The file is read piece by piece. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const buffer = new Uint8Array(1 << 20);
  for (let read = await file.read(buffer); read !== null; read = await file.read(buffer)) {
    hash.update(buffer.subarray(0, read));
  }
  return hash.digest("hex");
}

/** SHA-256 of bytes, in hexadecimal; computed off the main thread, which has enough to do. */
export async function sha256Of(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return new Uint8Array(digest).toHex();
}

/**
 * The names on the way from a folder to what lies in it, none to itself; `null`: it lies elsewhere.
 *
 * @param folder Absolute, as is `path`; links in either are not followed.
 * @example
 * ```ts
 * namesBetween("/a", "/a/b/c"); // ["b", "c"]
 * ```
 */
export function namesBetween(folder: string, path: string): string[] | null {
  const way = relative(folder, path);
  const names = way === "" ? [] : way.split(sep);
  return names[0] === ".." || way.startsWith(sep) ? null : names;
}
