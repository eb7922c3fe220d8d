import { TrainingError } from "../errors.ts";
import type { Shape } from "../model/graph.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";

/** Shapes of the boundary tensors for one image, by layer. */
type Shapes = ReadonlyMap<string, Shape>;

const sizeOf = (shape: Shape): number => shape.reduce((product, extent) => product * extent, 1);

/** Values that the boundary tensors of one image hold together. */
export function valuesPerImage(shapes: Shapes): number {
  return [...shapes.values()].reduce((sum, shape) => sum + sizeOf(shape), 0);
}

/**
 * The boundary tensors of each image as one row of 16-bit floats: half the bytes, with a relative
 * error of at most 2⁻¹¹, less than one 8-bit step of the image causes.
 *
 * @param features [n, ...] each; not disposed.
 * @returns n records of {@linkcode valuesPerImage} values, the layers one after another.
 * @throws {TrainingError} When a value is not a number or is beyond 65,504, the largest of 16 bits.
 */
export async function toRecords(
  features: ReadonlyMap<string, TensorFlow.Tensor>,
  shapes: Shapes,
): Promise<Float16Array<ArrayBuffer>[]> {
  const length = valuesPerImage(shapes);
  const count = features.values().next().value!.shape[0]!;
  const records = Array.from({ length: count }, () => new Float16Array(length));
  let at = 0;
  for (const [name, shape] of shapes) {
    const values = await features.get(name)!.data() as Float32Array;
    const size = sizeOf(shape);
    for (const [row, record] of records.entries()) {
      record.set(values.subarray(row * size, (row + 1) * size), at);
    }
    at += size;
  }
  if (!records.every(isFinite16)) {
    throw new TrainingError(
      "The frozen layers give values that are no numbers, or far beyond what they learnt.",
      "Their weights are damaged or of another network: choose other ones (model.weights).",
    );
  }
  return records;
}

/** Whether no exponent has all its bits set, as those of infinities and NaN have. */
function isFinite16(record: Float16Array<ArrayBuffer>): boolean {
  const bits = new Uint16Array(record.buffer);
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & 0x7c00) === 0x7c00) return false;
  return true;
}

/** The tensors of a batch again, [records, ...] each; the caller disposes them. */
export function fromRecords(
  records: readonly Float16Array[],
  shapes: Shapes,
): Map<string, TensorFlow.Tensor> {
  const tensors = new Map<string, TensorFlow.Tensor>();
  let at = 0;
  for (const [name, shape] of shapes) {
    const size = sizeOf(shape);
    const values = new Float32Array(records.length * size);
    for (const [row, record] of records.entries()) {
      values.set(record.subarray(at, at + size), row * size);
    }
    tensors.set(name, tf.tensor(values, [records.length, ...shape]));
    at += size;
  }
  return tensors;
}
