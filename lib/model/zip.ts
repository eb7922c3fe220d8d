import { crc32, inflateRawSync } from "node:zlib";
import { readAll, writeAll, writeAtomicWith } from "../files.ts";

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_BYTES = 22;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
/** An archive of Keras has three entries; a directory of this size would be none of its. */
const MAX_DIRECTORY_BYTES = 1_000_000;
/** 1 January 1980, the earliest date of the format, so that equal content gives equal files. */
const DOS_DATE = 0x21;

/** Why an archive cannot be read, in words that complete "it cannot be used: ...". */
export class ZipError extends Error {
  override name = "ZipError";
}

/**
 * Writes files into a zip archive without compressing them, atomically. Format: PKWARE's
 * APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
 *
 * @param entries Names and contents, together below 4 GB.
 */
export async function writeZip(
  path: string,
  entries: readonly (readonly [name: string, content: Uint8Array])[],
): Promise<void> {
  await writeAtomicWith(path, async (file) => {
    const directory: Uint8Array[] = [];
    let offset = 0;
    for (const [name, content] of entries) {
      const fields = entryFields(name, content);
      const header = concatenate([uint32(LOCAL), fields, encode(name)]);
      await writeAll(file, header);
      await writeAll(file, content);
      directory.push(concatenate([
        uint32(CENTRAL),
        uint16(20), // made by version 2.0
        fields,
        uint16(0, 0, 0), // no comment, first disk, binary
        uint32(0, offset),
        encode(name),
      ]));
      offset += header.length + content.length;
    }
    const central = concatenate(directory);
    await writeAll(file, central);
    await writeAll(
      file,
      concatenate([
        uint32(END),
        uint16(0, 0, entries.length, entries.length),
        uint32(central.length, offset),
        uint16(0),
      ]),
    );
  });
}

/** What a local header and a directory entry have in common. */
function entryFields(name: string, content: Uint8Array): Uint8Array {
  const size = content.length;
  return concatenate([
    uint16(20, 0x800, 0, 0, DOS_DATE), // needs version 2.0, UTF-8 name, stored, midnight
    uint32(crc32(content), size, size),
    uint16(encode(name).length, 0), // no extra field
  ]);
}

/**
 * Reads one file out of a zip archive, stored or deflated.
 *
 * @param maxBytes Larger content is refused before it is unpacked.
 * @returns Its content, or `null` when the archive has no such entry.
 * @throws {ZipError} When the archive is damaged or the entry too large.
 */
export async function readZipEntry(
  path: string,
  name: string,
  maxBytes: number,
): Promise<Uint8Array | null> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const tailStart = Math.max(0, size - END_BYTES - 0xffff); // behind the end record: a comment
  const tail = await readAt(file, tailStart, size - tailStart);
  const end = lastSignature(tail, END);
  if (end < 0 || end + END_BYTES > tail.length) {
    throw new ZipError("it is cut off, or no zip archive");
  }
  const [directoryBytes, directoryStart] = [
    view(tail).getUint32(end + 12, true),
    view(tail)
      .getUint32(end + 16, true),
  ];
  if (directoryBytes > MAX_DIRECTORY_BYTES) throw new ZipError("it holds far too many files");
  const directory = await readAt(file, directoryStart, directoryBytes);
  const entry = findEntry(directory, name);
  return entry === null ? null : await readContent(file, entry, maxBytes);
}

interface Entry {
  method: number;
  crc: number;
  packed: number;
  size: number;
  offset: number;
}

function findEntry(directory: Uint8Array, name: string): Entry | null {
  const data = view(directory);
  for (let at = 0; at + CENTRAL_BYTES <= directory.length;) {
    if (data.getUint32(at, true) !== CENTRAL) throw new ZipError("its directory is damaged");
    const nameBytes = data.getUint16(at + 28, true);
    const nameStart = at + CENTRAL_BYTES;
    const found = new TextDecoder().decode(directory.subarray(nameStart, nameStart + nameBytes));
    if (found === name) {
      return {
        method: data.getUint16(at + 10, true),
        crc: data.getUint32(at + 16, true),
        packed: data.getUint32(at + 20, true),
        size: data.getUint32(at + 24, true),
        offset: data.getUint32(at + 42, true),
      };
    }
    at = nameStart + nameBytes + data.getUint16(at + 30, true) + data.getUint16(at + 32, true);
  }
  return null;
}

async function readContent(
  file: Deno.FsFile,
  { method, crc, packed, size, offset }: Entry,
  maxBytes: number,
): Promise<Uint8Array> {
  if (Math.max(packed, size) > maxBytes) throw new ZipError("a file in it is far too large");
  // The local header may have another extra field than the directory.
  const header = view(await readAt(file, offset, LOCAL_BYTES));
  if (header.getUint32(0, true) !== LOCAL) throw new ZipError("its directory is damaged");
  const start = offset + LOCAL_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  const content = unpack(await readAt(file, start, packed), method, size);
  if (content.length !== size || crc32(content) !== crc) {
    throw new ZipError("a file in it is damaged");
  }
  return content;
}

function unpack(bytes: Uint8Array, method: number, size: number): Uint8Array {
  if (method === 0) return bytes;
  if (method !== 8) throw new ZipError("a file in it is packed in an unknown way");
  try {
    return inflateRawSync(bytes, { maxOutputLength: Math.max(1, size) });
  } catch (cause) {
    throw new ZipError("a file in it is damaged", { cause });
  }
}

async function readAt(file: Deno.FsFile, start: number, length: number): Promise<Uint8Array> {
  await file.seek(start, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  if (await readAll(file, bytes) < length) throw new ZipError("it is cut off");
  return bytes;
}

function lastSignature(bytes: Uint8Array, signature: number): number {
  const data = view(bytes);
  for (let at = bytes.length - 4; at >= 0; at--) {
    if (data.getUint32(at, true) === signature) return at;
  }
  return -1;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function uint16(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  values.forEach((value, index) => view(bytes).setUint16(2 * index, value, true));
  return bytes;
}

function uint32(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  values.forEach((value, index) => view(bytes).setUint32(4 * index, value, true));
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
