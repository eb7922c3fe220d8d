import { createHash } from "node:crypto";
import { ModelError } from "../core/errors.ts";
import { readAll, writeAll, writeAtomicWith } from "../core/files.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { sizeOf } from "./graph.ts";

/** One tensor of a tensor file, in the form of a tfjs weights manifest. */
export interface TensorEntry {
  name: string;
  shape: number[];
  dtype: "float32";
}

/**
 * Writes tensors one after another as little-endian 32-bit floats, atomically.
 *
 * @returns The entries that {@linkcode readTensors} needs, and the SHA-256 of the file.
 */
export async function writeTensors(
  path: string,
  tensors: Iterable<readonly [string, TensorFlow.Tensor]>,
): Promise<{ entries: TensorEntry[]; sha256: string }> {
  const entries: TensorEntry[] = [];
  const hash = createHash("sha256");
  await writeAtomicWith(path, async (file) => {
    for (const [name, tensor] of tensors) {
      const values = await tensor.data() as Float32Array;
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      hash.update(bytes);
      await writeAll(file, bytes);
      entries.push({ name, shape: tensor.shape, dtype: "float32" });
    }
  });
  return { entries, sha256: hash.digest("hex") };
}

/**
 * Reads a tensor file, one tensor after the other: memory holds the weights once. Its size is checked
 * before anything is read, its hash before anything is returned.
 *
 * @returns The tensors by name; the caller disposes them.
 * @throws {ModelError} When the file is missing, or its size or hash is not what the entries say.
 */
export async function readTensors(
  path: string,
  entries: readonly TensorEntry[],
  sha256: string,
): Promise<Map<string, TensorFlow.Tensor>> {
  const sizes = entries.map(({ shape }) => sizeOf(shape));
  const expected = 4 * sizes.reduce((sum, size) => sum + size, 0);
  const remedy = "Train again (notebook 05), or copy the whole model folder again.";
  const fail = (what: string, cause?: unknown) =>
    new ModelError(`${path} ${what}`, remedy, { cause });
  const { size } = await Deno.stat(path).catch((cause) => {
    throw fail("cannot be read.", cause);
  });
  if (size !== expected) throw fail(`has ${size} bytes where ${expected} were written.`);
  const tensors = new Map<string, TensorFlow.Tensor>();
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  try {
    for (const [index, { name, shape }] of entries.entries()) {
      const values = new Float32Array(sizes[index]!);
      const bytes = new Uint8Array(values.buffer);
      if (await readAll(file, bytes) < bytes.length) {
        throw fail("has become shorter while it was read.");
      }
      hash.update(bytes);
      tensors.set(name, tf.tensor(values, shape, "float32"));
    }
    if (hash.digest("hex") !== sha256) {
      throw fail("is damaged: its content is not what was written.");
    }
    return tensors;
  } catch (error) {
    tf.dispose([...tensors.values()]);
    throw error;
  }
}
