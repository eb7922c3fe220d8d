import assert from "node:assert/strict";
import fc from "fast-check";
import sharp, { type Sharp } from "sharp";
import { findNearDuplicates } from "../../lib/data/duplicates.ts";
import {
  differenceHash,
  type Fingerprint,
  fingerprint,
  SYMMETRIES,
  symmetryIndices,
} from "../../lib/data/look.ts";
import { openImage } from "../../lib/data/open_image.ts";
import { picture } from "./test_images.ts";

const look = async (image: Sharp): Promise<Fingerprint> => {
  const bytes = await image.toBuffer();
  return await fingerprint(await openImage(bytes, "a.png", 100));
};

Deno.test("differenceHash() sets a bit where it gets brighter to the right", () => {
  const rising = new Uint8Array(36 * 36).map((_, i) => i % 36);
  assert.equal(differenceHash(rising), "ffffffffffffffff");
  const falling = rising.map((value) => 36 - value);
  assert.equal(differenceHash(falling), "0000000000000000");
  const firstCell = new Uint8Array(36 * 36); // only the second cell of the first row is bright
  for (let y = 0; y < 4; y++) firstCell.fill(9, y * 36 + 4, y * 36 + 8);
  assert.equal(differenceHash(firstCell), "8000000000000000");
});

Deno.test("findNearDuplicates() finds copies that were changed a little", async () => {
  const original = () => picture(11, 224, 200);
  const png = await original().png().toBuffer();
  const copies = await Promise.all([
    look(original().png()),
    look(original().jpeg({ quality: 30 })),
    look(sharp(png).resize(112, 100).png()),
    look(sharp(png).resize(448, 400).webp()),
    look(sharp(png).linear(0.9, 10).png()),
    look(sharp(png).blur(1.5).png()),
    look(picture(12, 224, 200).png()),
  ]);
  const pairs = await findNearDuplicates(copies);
  assert.deepEqual(pairs.map(({ second }) => second), [1, 2, 3, 4, 5]);
  assert(pairs.every(({ first, correlation }) => first === 0 && correlation > 0.97));
});

Deno.test("findNearDuplicates() raises no false alarm on different pictures", async () => {
  const different = await Promise.all(
    Array.from({ length: 300 }, (_, i) => look(picture(100 + i).png())),
  );
  assert.deepEqual(await findNearDuplicates(different), []);
});

Deno.test("findNearDuplicates() is not misled by equal hashes", async () => {
  const thumbnail = (pixel: (i: number) => number) =>
    new Uint8Array(36 * 36).map((_, i) => pixel(i));
  const dhash = "00ff00ff00ff00ff";
  const striped = { dhash, thumbnail: thumbnail((i) => i % 2 * 200) };
  const graded = { dhash, thumbnail: thumbnail((i) => i % 36 * 7) };
  const white = { dhash, thumbnail: thumbnail(() => 255) };
  const black = { dhash, thumbnail: thumbnail(() => 0) };
  const images = [striped, graded, white, black, white, striped];
  assert.deepEqual(
    (await findNearDuplicates(images)).map(({ first, second }) => [first, second]),
    [[2, 4], [0, 5]],
  );
});

Deno.test("findNearDuplicates() finds every hash within seven bits", async () => {
  const thumbnail = new Uint8Array(36 * 36).map((_, i) => i % 36);
  const flip = (bits: number[]) => {
    let hash = 0x0123456789abcdefn;
    for (const bit of bits) hash ^= 1n << BigInt(bit);
    return { dhash: hash.toString(16).padStart(16, "0"), thumbnail };
  };
  const spread = [0, 5, 17, 22, 33, 40, 50]; // two bits in three bands, one in the fourth
  for (let bits = 0; bits <= 7; bits++) {
    const pair = await findNearDuplicates([flip([]), flip(spread.slice(0, bits))]);
    assert.equal(pair.length, 1);
  }
  // one more bit; a plain gradient, so that no symmetry brings another hash near
  assert.equal((await findNearDuplicates([flip([]), flip([...spread, 63])])).length, 0);
});

/** A picture in one of the eight positions, by sharp's own operations. */
function positioned(image: Sharp, symmetry: number): Promise<Uint8Array> {
  const mirrored = symmetry >= 4 ? image.flop() : image;
  return mirrored.png().toBuffer()
    .then((bytes) => sharp(bytes).rotate(symmetry % 4 * 90).png().toBuffer());
}

Deno.test("findNearDuplicates() finds copies in all eight positions, rescaled and re-encoded too", async () => {
  const original = await look(picture(11, 240, 200).png()); // not square
  for (const [symmetry, name] of SYMMETRIES.entries()) {
    const turned = await positioned(picture(11, 240, 200), symmetry);
    for (const copy of [sharp(turned), sharp(turned).resize(90).jpeg({ quality: 40 })]) {
      const pairs = await findNearDuplicates([original, await look(copy)]);
      assert.equal(pairs.length, 1, name);
      assert.ok(pairs[0]!.correlation > 0.97, `${name}: ${pairs[0]!.correlation}`);
      // The way back: turns by 90° and 270° undo each other, all others undo themselves.
      const back = symmetry === 1 ? 3 : symmetry === 3 ? 1 : symmetry;
      assert.equal(pairs[0]!.symmetry, SYMMETRIES[back]);
    }
  }
});

Deno.test("findNearDuplicates() links the same clusters in any order, without a cycle", async () => {
  const kinds = await Promise.all(
    Array.from(
      { length: 24 },
      async (_, i) => await look(sharp(await positioned(picture(200 + i % 5, 120, 120), i % 8))),
    ),
  );
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray([...kinds.keys()], { minLength: 2 }), async (chosen) => {
      const pairs = await findNearDuplicates(chosen.map((i) => kinds[i]!));
      const pictures = new Set(chosen.map((i) => i % 5));
      assert.equal(pairs.length, chosen.length - pictures.size); // a forest over the clusters
      for (const { first, second } of pairs) assert.equal(chosen[first]! % 5, chosen[second]! % 5);
    }),
    { seed: 5, numRuns: 40 },
  );
});

Deno.test("symmetryIndices() are eight different permutations that form a group", () => {
  const all = symmetryIndices(3);
  const text = (indices: Int32Array) => indices.join();
  assert.equal(new Set(all.map(text)).size, 8);
  assert.equal(text(all[0]!), "0,1,2,3,4,5,6,7,8");
  assert.equal(text(all[1]!), "6,3,0,7,4,1,8,5,2"); // clockwise: the left column is now the top row
  assert.equal(text(all[4]!), "2,1,0,5,4,3,8,7,6");
  for (const a of all) {
    for (const b of all) assert.ok(all.map(text).includes(text(a.map((i) => b[i]!))));
  }
});
