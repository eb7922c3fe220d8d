import { sha256File } from "../files.ts";
import type { Graph, Shape, WeightSpec } from "./graph.ts";
import { kerasFileNames } from "./keras_classes.ts";
import { readKerasH5, unusable } from "./keras_h5.ts";
import { readZipEntry, ZipError } from "./zip.ts";

const HDF5_SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]; // "\x89HDF\r\n\x1a\n"
const ZIP_SIGNATURE = [0x50, 0x4b, 0x03, 0x04]; // "PK\3\4"

/** A network of 25 million parameters with its optimiser takes 300 MB. */
const MAX_WEIGHTS_BYTES = 1 << 30;

/**
 * Reads weights from any file that Keras writes: `.h5`, `.weights.h5` or `.keras`, told apart by
 * content.
 *
 * @param graph The network that `inputs` and both lists of weights belong to.
 * @param wanted `required` and `optional` as in `readKerasH5`.
 * @returns Values by our name of the weight, row-major, and the SHA-256 of the file.
 * @throws {ModelError} See {@linkcode readKerasH5}; nothing is loaded then.
 */
export async function readKerasWeights(
  path: string,
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
  wanted: { required: readonly WeightSpec[]; optional: readonly WeightSpec[] },
): Promise<{ values: Map<string, Float32Array>; sha256: string }> {
  const start = await firstBytes(path);
  const begins = (signature: readonly number[]) => signature.every((byte, i) => byte === start[i]);
  const fileNames = kerasFileNames(graph, inputs);
  const read = (file: string) => readKerasH5(file, { ...wanted, fileNames, shownAs: path });
  if (begins(HDF5_SIGNATURE)) return { values: await read(path), sha256: await sha256File(path) };
  if (!begins(ZIP_SIGNATURE)) {
    throw unusable(path, "it is neither an HDF5 file (.h5) nor a .keras archive");
  }
  const unpacked = await Deno.makeTempFile({ suffix: ".h5" });
  try {
    await Deno.writeFile(unpacked, await weightsEntry(path));
    return { values: await read(unpacked), sha256: await sha256File(path) };
  } finally {
    await Deno.remove(unpacked);
  }
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const start = new Uint8Array(8);
  try {
    using file = await Deno.open(path);
    await file.read(start);
  } catch (cause) {
    throw unusable(path, "it cannot be read", cause);
  }
  return start;
}

async function weightsEntry(path: string): Promise<Uint8Array> {
  try {
    const bytes = await readZipEntry(path, "model.weights.h5", MAX_WEIGHTS_BYTES);
    if (bytes === null) throw unusable(path, "it has no model.weights.h5 inside");
    return bytes;
  } catch (error) {
    throw error instanceof ZipError ? unusable(path, error.message, error) : error;
  }
}
