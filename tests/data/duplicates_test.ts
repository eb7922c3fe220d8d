import fc from "fast-check";
import { StaticDisjointSet } from "mnemonist";
import assert from "node:assert/strict";
import sharp, { type Sharp } from "sharp";
import { findNearDuplicates } from "../../lib/data/duplicates.ts";
import { type Fingerprint, lookAt, SYMMETRIES } from "../../lib/data/look.ts";
import { picture } from "./test_images.ts";

const look = async (image: Sharp): Promise<Fingerprint> =>
  (await lookAt(await image.toBuffer(), "a.png", 100)).fingerprint;

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
    new Uint8Array(36 * 36).map((_, i) => pixel(i)).toBase64();
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

/** Images that differ in their hashes alone: a plain gradient, so that no symmetry brings one near. */
const hashed = (hashes: readonly bigint[]) =>
  hashes.map((hash) => ({
    dhash: hash.toString(16).padStart(16, "0"),
    thumbnail: new Uint8Array(36 * 36).map((_, i) => i % 36).toBase64(),
  }));

const flip = (hash: bigint, bits: readonly number[]) =>
  bits.reduce((flipped, bit) => flipped ^ 1n << BigInt(bit), hash);

Deno.test("findNearDuplicates() links just the hashes within seven bits of each other", async () => {
  const base = 0x0123456789abcdefn;
  const spread = [0, 5, 17, 22, 33, 40, 50, 63]; // two bits in each band
  for (let bits = 0; bits <= 8; bits++) {
    const pairs = await findNearDuplicates(hashed([base, flip(base, spread.slice(0, bits))]));
    assert.equal(pairs.length, bits <= 7 ? 1 : 0);
  }
  const bitsOf = (hash: bigint) => hash.toString(2).replaceAll("0", "").length;
  const flips = fc.array(fc.nat(63), { maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(fc.array(flips, { minLength: 1, maxLength: 20 }), async (all) => {
      const hashes = all.map((bits) => flip(base, bits));
      const [found, expected] = [0, 1].map(() => new StaticDisjointSet(hashes.length));
      const pairs = await findNearDuplicates(hashed(hashes));
      for (const { first, second } of pairs) found!.union(first, second);
      for (const [i, a] of hashes.entries()) {
        for (const [j, b] of hashes.entries()) if (bitsOf(a ^ b) <= 7) expected!.union(i, j);
      }
      assert.deepEqual(found!.compile(), expected!.compile());
    }),
    { seed: 3, numRuns: 300 },
  );
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
  const copy = (i: number) => positioned(picture(200 + i % 5, 120, 120), i % 8);
  const kinds = await Promise.all(
    Array.from(Array(24), async (_, i) => look(sharp(await copy(i)))),
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
