import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { ImageError } from "../../lib/core/errors.ts";
import { createPixelCache, decodeImage } from "../../lib/images/decode.ts";
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

Deno.test("createPixelCache() sees a file that changes, and names one that vanishes", () =>
  inFolder(async (folder) => {
    const paths = [0, 1, 2].map((i) => join(folder, `${i}.png`));
    const write = async (i: number, seed: number) =>
      await put(folder, `${i}.png`, await picture(seed, 20, 20).png().toBuffer());
    for (const i of [0, 1, 2]) await write(i, i);
    const cache = createPixelCache(1);
    const read = () =>
      Promise.all(paths.map(async (path) => {
        const pixels = await cache.pixels(
          path,
          async () => (await decodeImage(path, decode)).pixels,
        );
        const before = new Uint8Array(pixels);
        pixels.fill(99); // a transform
        return before;
      }));
    const first = await read();
    assert.equal(cache.count(), 3);
    assert.deepEqual(await read(), first); // what became of them is not held
    await write(1, 77);
    const changed = await read();
    assert.deepEqual([changed[0], changed[2]], [first[0], first[2]]);
    assert.notDeepEqual(changed[1], first[1]);
    await Deno.remove(paths[2]!);
    await assert.rejects(read(), (error: unknown) => {
      assert(error instanceof ImageError);
      assert.equal(error.path, paths[2]!);
      return true;
    });
  }));
