import assert from "node:assert/strict";
import type { Sharp } from "sharp";
import sharp from "sharp";
import { differenceHash, type Fingerprint, fingerprint } from "../../lib/data/fingerprint.ts";
import { findNearDuplicates } from "../../lib/data/near_duplicates.ts";
import { openImage } from "../../lib/data/open_image.ts";
import { picture } from "./test_images.ts";

const look = async (image: Sharp): Promise<Fingerprint> => {
  const bytes = await image.toBuffer();
  return await fingerprint(await openImage(bytes, "a.png", 100));
};

Deno.test("differenceHash() sets a bit where it gets brighter to the right", () => {
  const rising = new Uint8Array(32 * 36).map((_, i) => i % 36);
  assert.equal(differenceHash(rising), "ffffffffffffffff");
  const falling = rising.map((value) => 36 - value);
  assert.equal(differenceHash(falling), "0000000000000000");
  const firstCell = new Uint8Array(32 * 36); // only the second cell of the first row is bright
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
  const pairs = findNearDuplicates(copies);
  assert.deepEqual(pairs.map(({ second }) => second), [1, 2, 3, 4, 5]);
  assert(pairs.every(({ first, correlation }) => first === 0 && correlation > 0.97));
});

Deno.test("findNearDuplicates() raises no false alarm on different pictures", async () => {
  const different = await Promise.all(
    Array.from({ length: 300 }, (_, i) => look(picture(100 + i).png())),
  );
  assert.deepEqual(findNearDuplicates(different), []);
});

Deno.test("findNearDuplicates() is not misled by equal hashes", () => {
  const thumbnail = (pixel: (i: number) => number) =>
    new Uint8Array(32 * 36).map((_, i) => pixel(i));
  const dhash = "00ff00ff00ff00ff";
  const striped = { dhash, thumbnail: thumbnail((i) => i % 2 * 200) };
  const graded = { dhash, thumbnail: thumbnail((i) => i % 36 * 7) };
  const white = { dhash, thumbnail: thumbnail(() => 255) };
  const black = { dhash, thumbnail: thumbnail(() => 0) };
  const images = [striped, graded, white, black, white, striped];
  assert.deepEqual(
    findNearDuplicates(images).map(({ first, second }) => [first, second]),
    [[2, 4], [0, 5]],
  );
});

Deno.test("findNearDuplicates() finds every hash within seven bits", () => {
  const thumbnail = new Uint8Array(32 * 36).map((_, i) => i % 251);
  const flip = (bits: number[]) => {
    let hash = 0x0123456789abcdefn;
    for (const bit of bits) hash ^= 1n << BigInt(bit);
    return { dhash: hash.toString(16).padStart(16, "0"), thumbnail };
  };
  const spread = [0, 5, 17, 22, 33, 40, 50]; // two bits in three bands, one in the fourth
  for (let bits = 0; bits <= 7; bits++) {
    assert.equal(findNearDuplicates([flip([]), flip(spread.slice(0, bits))]).length, 1);
  }
  assert.equal(findNearDuplicates([flip([]), flip([...spread, 63])]).length, 0);
});
