import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { openWorkFile, type StoredImage, type WorkIdentity } from "../../lib/evaluation/work.ts";
import { FLAGS } from "../../lib/model/reference.ts";
import { inFolder } from "../data/test_images.ts";

const IDENTITY: WorkIdentity = {
  listing: "a",
  images: 1000,
  model: "m",
  shard: { index: 1, count: 1 },
};

const PLAIN = { noNullPrototype: true };

const image: fc.Arbitrary<StoredImage> = fc.oneof(
  fc.record({
    probabilities: fc.array(fc.float({ min: 0, max: 1, noNaN: true }).map((p) => p + 0), {
      minLength: 2,
      maxLength: 3,
    }),
    width: fc.integer({ min: 8, max: 30000 }),
    height: fc.integer({ min: 8, max: 30000 }),
    flags: fc.subarray([...FLAGS]),
  }, PLAIN),
  fc.record({ error: fc.string({ unit: "grapheme" }), retry: fc.constant(false) }, PLAIN),
);

Deno.test("openWorkFile() keeps every batch before the damage of a kill, bit for bit, and none after it", () =>
  inFolder(async (folder) => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(30), { minLength: 1, maxLength: 8 }),
        fc.array(fc.array(image, { minLength: 1, maxLength: 4 }), { minLength: 8, maxLength: 8 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.boolean(),
        async (batches, images, place, cut) => {
          const path = join(folder, `${run++}.work`);
          const ends: number[] = [];
          const work = await openWorkFile(path, IDENTITY);
          for (const [i, batch] of batches.entries()) {
            await work.append(batch, images[i]!);
            ends.push((await Deno.stat(path)).size);
          }
          await work.close();
          const bytes = await Deno.readFile(path);
          const at = Math.floor(place * bytes.length);
          bytes[at]! ^= 4;
          await Deno.writeFile(path, cut ? bytes.subarray(0, at) : bytes);

          const again = await openWorkFile(path, IDENTITY);
          const whole = ends.filter((end) => end <= at).length;
          assert.deepEqual(
            batches.filter((batch) => again.has(batch)),
            batches.slice(0, whole),
          );
          for (const [i, batch] of batches.entries()) {
            if (i >= whole) await again.append(batch, images[i]!);
          }
          for (const [i, batch] of batches.entries()) {
            assert.deepEqual(await again.read(batch), images[i]);
          }
          await again.close();
        },
      ),
      { seed: 3, numRuns: 60 },
    );
  }));

Deno.test("openWorkFile() begins anew for another folder or model, and says which", () =>
  inFolder(async (folder) => {
    const path = join(folder, "a.work");
    const reopen = async (identity: WorkIdentity) => {
      const work = await openWorkFile(path, identity);
      const state = [work.restarted, work.has(0)];
      if (!work.has(0)) await work.append(0, [{ error: "e", retry: false }]);
      await work.close();
      return state;
    };
    assert.deepEqual(await reopen(IDENTITY), [null, false]);
    assert.deepEqual(await reopen(IDENTITY), [null, true]);
    assert.deepEqual(await reopen({ ...IDENTITY, listing: "b" }), ["folder", false]);
    assert.deepEqual(await reopen({ ...IDENTITY, model: "n" }), ["model", false]);
    await Deno.writeTextFile(path, "something else\n");
    assert.deepEqual(await reopen(IDENTITY), ["damaged", false]);
    await Deno.writeTextFile(path, "");
    assert.deepEqual(await reopen(IDENTITY), [null, false], "killed before its first line");
  }));
