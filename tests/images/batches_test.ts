import assert from "node:assert/strict";
import { join } from "node:path";
import { ImageError } from "../../lib/core/errors.ts";
import { batches, decodeImage } from "../../lib/images/decode.ts";
import { inFolder, picture, put } from "../data/test_images.ts";

const shape = { size: 16, resize: "squash", maxMegapixels: 100 } as const;

async function putFiles(folder: string, n: number): Promise<string[]> {
  for (let i = 0; i < n; i++) {
    await put(folder, `${i}.png`, await picture(i, 20, 20).png().toBuffer());
  }
  return Array.from({ length: n }, (_, i) => join(folder, `${i}.png`));
}

Deno.test("batches() yields every file once, in order, with its pixels", () =>
  inFolder(async (folder) => {
    const files = await putFiles(folder, 23);
    const decoded = await Promise.all(files.map((path) => decodeImage(path, shape)));
    for (const batchSize of [1, 4, 23, 30]) {
      const seen: string[] = [];
      for await (const { pixels, paths } of batches(files, { ...shape, batchSize })) {
        assert.equal(paths.length, Math.min(batchSize, files.length - seen.length));
        assert.equal(pixels.length, paths.length * 16 * 16 * 3);
        for (const i of paths.keys()) {
          const expected = new Uint8Array(decoded[seen.length + i]!.pixels);
          assert.deepEqual(pixels.slice(i * 768, (i + 1) * 768), expected);
        }
        seen.push(...paths);
      }
      assert.deepEqual(seen, files);
    }
    assert.deepEqual(await Array.fromAsync(batches([], { ...shape, batchSize: 2 })), []);
  }));

Deno.test("batches() ends with the name of a file that breaks, never with zeros", () =>
  inFolder(async (folder) => {
    const files = await putFiles(folder, 9);
    await put(folder, "5.png", "broken");
    const seen: string[] = [];
    await assert.rejects(async () => {
      for await (const { paths } of batches(files, { ...shape, batchSize: 2 })) {
        seen.push(...paths);
      }
    }, (error: unknown) => {
      assert(error instanceof ImageError);
      assert.equal(error.path, files[5]);
      return true;
    });
    assert.deepEqual(seen, files.slice(0, 4));
  }));

Deno.test("batches() reads only a few batches ahead, and stops with its consumer", () =>
  inFolder(async (folder) => {
    const files = await putFiles(folder, 8);
    const many = Array.from({ length: 4000 }, (_, i) => files[i % 8]!);
    let reads = 0;
    const counted = new Proxy(many, {
      get(target, key, receiver) {
        if (typeof key === "string" && /^\d+$/.test(key)) reads++;
        return Reflect.get(target, key, receiver);
      },
    });
    let taken = 0;
    for await (const { paths } of batches(counted, { ...shape, batchSize: 4 })) {
      taken += paths.length;
      if (taken > 20) break;
    }
    const after = reads;
    assert(after < 100, `${after} files were touched for 24 images`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(reads, after);
  }));
