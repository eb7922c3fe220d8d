import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { type Model, orderedWeights, writeTensors } from "../../lib/model/model.ts";
import { askPython } from "../ask_python.ts";

const script = join(import.meta.dirname!, "keras_oracle.py");

/** Asks Python Keras something that needs no weights. */
export function askKeras(request: Record<string, unknown>): Promise<unknown> {
  return askPython(script, request);
}

/** Asks Python Keras about a model of the same architecture with just these weights and images. */
export async function askKerasAbout(
  model: Model,
  pixels: Uint8Array,
  request: Record<string, unknown>,
): Promise<unknown> {
  const folder = await Deno.makeTempDir();
  try {
    return await askKeras({ ...request, ...await handOver(folder, model, pixels) });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes weights and images where Keras reads them; returns what a request says of them. */
export async function handOver(
  folder: string,
  model: Model,
  pixels: Uint8Array,
): Promise<Record<string, unknown>> {
  const { backbone, imageSize } = model.architecture;
  const file = join(folder, `${backbone}-weights.bin`);
  const images = join(folder, `${backbone}-images.bin`);
  const { entries } = await writeTensors(file, orderedWeights(model));
  await Deno.writeFile(images, pixels);
  const n = pixels.length / (imageSize * imageSize * 3);
  return { backbone, imageSize, n, file, images, weights: entries };
}

/** Asserts that no number of ours is further from the expected one than a tolerance. */
export function assertWithin(
  tolerance: number,
  ours: ArrayLike<number>,
  expected: Iterable<number>,
) {
  const far = Array.from(expected, (value, i) => Math.abs(value - ours[i]!));
  assert.equal(far.length, ours.length);
  assert.ok(
    far.every((distance) => distance < tolerance),
    `largest difference ${Math.max(...far)}`,
  );
}

/** Images of clearly different colour, contrast and grain, RGB [n, size, size, 3]. */
export function someImages(n: number, size: number, seed = 1): Uint8Array {
  const random = createRandom(`images/${seed}`);
  const pixels = new Uint8Array(n * size * size * 3);
  for (let i = 0; i < n; i++) {
    const [fx, fy, phase] = [random.next(), random.next(), 6 * random.next()];
    const colour = [0, 1, 2].map(() => 40 + 180 * random.next());
    const [amplitude, grain] = [100 * random.next(), 40 * random.next()];
    for (let p = 0; p < size * size * 3; p++) {
      const [x, y, c] = [Math.floor(p / 3) % size, Math.floor(p / 3 / size), p % 3];
      const wave = amplitude * Math.sin(fx * x + fy * y + phase + c);
      const value = colour[c]! + wave + grain * random.normal();
      pixels[i * size * size * 3 + p] = Math.max(0, Math.min(255, value));
    }
  }
  return pixels;
}

/**
 * Moves all BatchNorm weights off their initial values, so that a slip in using them shows. Residual
 * branches are scaled down, as training does: at full size a random network of this depth multiplies
 * rounding errors until no two programs agree on it. Means move by a tenth of a standard deviation:
 * by more, channels die and images look alike.
 */
export function disturbBatchNorms(model: Model, seed = 1): void {
  for (const [name, weight] of model.weights) {
    if (!/\/(gamma|beta|moving_mean|moving_variance)$/.test(name)) continue;
    const random = createRandom(`${seed}/${name}`);
    const branch = /(_3|block\d[b-d]_project)_bn\/gamma$/.test(name) ? 0.2 : 1;
    const factor = Float32Array.from(
      { length: weight.size },
      () => branch * (0.8 + 0.4 * random.next()),
    );
    const shift = Float32Array.from({ length: weight.size }, () => 0.1 * random.normal());
    const moved = tf.tidy(() => {
      const [added, multiplied] = [shift, factor].map((values) => tf.tensor(values, weight.shape));
      if (name.endsWith("/beta")) return weight.add(added!);
      if (!name.endsWith("/moving_mean")) return weight.mul(multiplied!);
      const variance = model.weights.get(name.replace("moving_mean", "moving_variance"))!;
      return weight.add(added!.mul(variance.sqrt()));
    });
    weight.dispose();
    model.weights.set(name, moved);
  }
}
