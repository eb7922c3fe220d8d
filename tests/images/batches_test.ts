import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { ImageError } from "../../lib/errors.ts";
import { batches, type BatchItem, epochOrder } from "../../lib/images/batches.ts";
import { decodeImage } from "../../lib/images/decode.ts";
import { inFolder, picture, put } from "../data/test_images.ts";

const shape = { size: 16, resize: "squash", maxMegapixels: 100 } as const;

async function putItems(folder: string, n: number): Promise<BatchItem[]> {
  for (let i = 0; i < n; i++) {
    await put(folder, `${i}.png`, await picture(i, 20, 20).png().toBuffer());
  }
  return Array.from({ length: n }, (_, i) => ({ path: join(folder, `${i}.png`), label: i % 2 }));
}

Deno.test("batches() yields every index once, in the order given, with its pixels and label", () =>
  inFolder(async (folder) => {
    const items = await putItems(folder, 23);
    const decoded = await Promise.all(items.map(({ path }) => decodeImage(path, shape)));
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 30 }),
        fc.nat(),
        fc.integer({ min: 0, max: 3 }),
        async (batchSize, seed, prefetch) => {
          const order = epochOrder(items.length, seed, 0);
          const seen: number[] = [];
          const options = { ...shape, batchSize, order, prefetch };
          for await (const { pixels, labels, indices } of batches(items, options)) {
            assert.equal(indices.length, Math.min(batchSize, items.length - seen.length));
            assert.equal(pixels.length, indices.length * 16 * 16 * 3);
            for (const [i, index] of indices.entries()) {
              assert.deepEqual(
                pixels.slice(i * 768, (i + 1) * 768),
                new Uint8Array(decoded[index]!.pixels),
              );
              assert.equal(labels[i], items[index]!.label);
            }
            seen.push(...indices);
          }
          assert.deepEqual(seen, order);
        },
      ),
      { seed: 1, numRuns: 12 },
    );
  }));

Deno.test("batches() takes all items as they come by default, and none from none", () =>
  inFolder(async (folder) => {
    const items = await putItems(folder, 5);
    const all = await Array.fromAsync(batches(items, { ...shape, batchSize: 2 }));
    assert.deepEqual(all.map(({ indices }) => indices), [[0, 1], [2, 3], [4]]);
    assert.deepEqual(await Array.fromAsync(batches([], { ...shape, batchSize: 2 })), []);
    const some = await Array.fromAsync(batches(items, { ...shape, batchSize: 9, order: [3, 3] }));
    assert.deepEqual(some.map(({ indices }) => indices), [[3, 3]]);
  }));

Deno.test("batches() ends with the name of a file that breaks, never with zeros", () =>
  inFolder(async (folder) => {
    const items = await putItems(folder, 9);
    await put(folder, "5.png", "broken");
    const seen: number[] = [];
    await assert.rejects(async () => {
      for await (const { indices } of batches(items, { ...shape, batchSize: 2 })) {
        seen.push(...indices);
      }
    }, (error: unknown) => {
      assert(error instanceof ImageError);
      assert.equal(error.path, join(folder, "5.png"));
      return true;
    });
    assert.deepEqual(seen, [0, 1, 2, 3]);
  }));

Deno.test("batches() reads only a few batches ahead, and stops with its consumer", () =>
  inFolder(async (folder) => {
    const items = await putItems(folder, 8);
    const many = Array.from({ length: 4000 }, (_, i) => items[i % 8]!);
    let reads = 0;
    const counted = new Proxy(many, {
      get(target, key, receiver) {
        if (typeof key === "string" && /^\d+$/.test(key)) reads++;
        return Reflect.get(target, key, receiver);
      },
    });
    for await (const { indices } of batches(counted, { ...shape, batchSize: 4, prefetch: 2 })) {
      if (indices.includes(20)) break;
    }
    const after = reads;
    assert(after < 100, `${after} items were touched for 24 images`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(reads, after);
  }));

Deno.test("epochOrder() is a permutation, another one every epoch, the same every time", () => {
  fc.assert(
    fc.property(fc.nat(300), fc.nat(), fc.nat(50), (n, seed, epoch) => {
      const order = epochOrder(n, seed, epoch);
      assert.deepEqual(order.toSorted((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
      assert.deepEqual(order, epochOrder(n, seed, epoch));
      if (n > 20) assert.notDeepEqual(order, epochOrder(n, seed, epoch + 1));
    }),
    { seed: 1, numRuns: 50 },
  );
});
