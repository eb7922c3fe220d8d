import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { ImageError } from "../../lib/errors.ts";
import { batches } from "../../lib/images/batches.ts";
import { createPixelCache } from "../../lib/images/pixel_cache.ts";
import { inFolder, picture, put } from "../data/test_images.ts";

const SIZE = 16;
const BYTES = SIZE * SIZE * 3;
const decode = { size: SIZE, resize: "squash", maxMegapixels: 1 } as const;

Deno.test("createPixelCache() decodes once what fits, and the rest every time", () =>
  inFolder(async (folder) => {
    const cache = createPixelCache(3.5 * BYTES / 1e6);
    let decoded = 0;
    for (let i = 0; i < 5; i++) await put(folder, `${i}`, "");
    for (let epoch = 0; epoch < 3; epoch++) {
      for (let i = 0; i < 5; i++) {
        const pixels = await cache.pixels(join(folder, `${i}`), () => {
          decoded++;
          // as sharp gives them: a Buffer, whose slice() is no copy
          return Promise.resolve(Buffer.alloc(BYTES, i));
        });
        assert.deepEqual(new Uint8Array(pixels), new Uint8Array(BYTES).fill(i));
        pixels.fill(99); // the caller's own: a transform may write into it
      }
      assert.equal(cache.count(), 3);
    }
    assert.equal(decoded, 5 + 2 + 2);
  }));

Deno.test("batches() with a cache sees a file that changes, and ends with one that vanishes", () =>
  inFolder(async (folder) => {
    const items = [0, 1, 2].map((i) => ({ path: join(folder, `${i}.png`), label: 0 }));
    const write = async (i: number, seed: number) =>
      await put(folder, `${i}.png`, await picture(seed, 20, 20).png().toBuffer());
    for (const i of [0, 1, 2]) await write(i, i);
    const cache = createPixelCache(1);
    const transform = (pixels: Uint8Array) => pixels.map((value) => 255 - value);
    const read = async () => {
      const [batch] = await Array.fromAsync(
        batches(items, { ...decode, batchSize: 3, cache, transform }),
      );
      return [0, 1, 2].map((i) => batch!.pixels.slice(i * BYTES, (i + 1) * BYTES));
    };
    const first = await read();
    assert.equal(cache.count(), 3);
    assert.deepEqual(await read(), first); // the transform is not held
    await write(1, 77);
    const changed = await read();
    assert.deepEqual([changed[0], changed[2]], [first[0], first[2]]);
    assert.notDeepEqual(changed[1], first[1]);
    await Deno.remove(items[2]!.path);
    await assert.rejects(read(), (error: unknown) => {
      assert(error instanceof ImageError);
      assert.equal(error.path, items[2]!.path);
      return true;
    });
  }));
