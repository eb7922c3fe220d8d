import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { createRandom } from "../../lib/core/random.ts";
import { differenceHash, lookAt, makePreview } from "../../lib/data/look.ts";
import { openImage } from "../../lib/data/open_image.ts";
import { askPython } from "../ask_python.ts";
import { picture, picturePixels } from "./test_images.ts";

/** What is measured on RGB pixels, [height, width, 3]. */
async function measure(rgb: Uint8Array, width: number, height: number) {
  const bytes = await sharp(rgb, { raw: { width, height, channels: 3 } }).png().toBuffer();
  return (await lookAt(bytes, "x.png", 100)).measures;
}

/** A picture with fine detail, [height, width, 3]. */
function detailed(seed: number, width: number, height: number): Uint8Array {
  const random = createRandom(seed);
  return picturePixels(seed, width, height)
    .map((value) => Math.max(0, Math.min(255, value + 12 * random.normal())));
}

Deno.test("lookAt() measures what numpy and scipy do", async () => {
  const sizes: [number, number][] = [[40, 31], [16, 60], [120, 90]];
  const images = sizes.map(([width, height], seed) => detailed(seed, width, height));
  const nested = images.map((rgb, i) => {
    const [width, height] = sizes[i]!;
    const pixel = (at: number) => [...rgb.subarray(3 * at, 3 * at + 3)];
    return Array.from(
      { length: height },
      (_, y) => Array.from({ length: width }, (_, x) => pixel(y * width + x)),
    );
  });
  const oracle = join(import.meta.dirname!, "look_oracle.py");
  const expected = await askPython(oracle, nested) as Record<string, number>[];
  for (const [i, rgb] of images.entries()) {
    const actual: Record<string, number | null> = { ...await measure(rgb, ...sizes[i]!) };
    for (const [name, value] of Object.entries(expected[i]!)) {
      // luma is kept with 24 bits
      assert.ok(Math.abs(actual[name]! - value) < 1e-5, `${name}: ${actual[name]}, not ${value}`);
    }
  }
});

Deno.test("lookAt() says nothing of the sharpness of tiny or uniform images", async () => {
  assert.equal((await measure(detailed(1, 15, 40), 15, 40)).blur, null);
  assert.deepEqual(await measure(new Uint8Array(40 * 40 * 3).fill(120), 40, 40), {
    ...{ dark: 120, bright: 120, contrast: 0, blur: null, colour: 0, margin: 1 },
  });
});

Deno.test("lookAt() measures the area of empty borders, with dust and noise on them", async () => {
  const sides = { top: 10, bottom: 0, left: 30, right: 5 };
  const [width, height] = [100 + 35, 80 + 10];
  const inner = sharp(detailed(5, 100, 80), { raw: { width: 100, height: 80, channels: 3 } });
  const data = await inner.extend({ ...sides, background: "#f4f2f5" }).raw().toBuffer();
  const random = createRandom(9);
  for (let i = 0; i < data.length; i++) data[i] = Math.min(255, data[i]! + random.integer(5));
  data.fill(0, 3 * (40 * width + 10), 3 * (40 * width + 11)); // a speck
  const expected = 1 - 100 * 80 / (width * height);
  assert.equal((await measure(data, width, height)).margin, expected);
  assert.equal((await measure(detailed(5, 100, 80), 100, 80)).margin, 0);
});

const previewOf = async (bytes: Uint8Array) => {
  const image = await openImage(bytes, "x.png", 100);
  return { image, preview: await makePreview(image) };
};

Deno.test("makePreview() shows white through transparent pixels, as the model's input does", async () => {
  const bytes = await sharp(picturePixels(4, 300, 200), {
    raw: { width: 300, height: 200, channels: 3 },
  }).ensureAlpha(0.4).png().toBuffer();
  const { image, preview } = await previewOf(bytes);
  const { width, height, rgb } = preview;
  assert.deepEqual([width, height], [256, 171]);
  const model = await image.toRgb(width, height);
  const largest = rgb.reduce((most, v, i) => Math.max(most, Math.abs(v - model[i]!)), 0);
  assert.ok(largest <= 2, String(largest));
});

Deno.test("makePreview() neither enlarges nor loses the short side of a long image", async () => {
  const size = async (width: number, height: number) => {
    const { preview } = await previewOf(await picture(1, width, height).png().toBuffer());
    return [preview.width, preview.height];
  };
  assert.deepEqual(await size(40, 30), [40, 30]);
  assert.deepEqual(await size(1000, 500), [256, 128]);
  assert.deepEqual(await size(3000, 200), [256, 64]);
  assert.deepEqual(await size(20, 3000), [20, 256]);
});

Deno.test("lookAt() tells hidden structure from a strip that was not scanned", async () => {
  const [width, height] = [300, 200];
  const pixels = (hide: "nothing" | "tissue" | "black") => {
    const rgb = picturePixels(6, width, height);
    const rgba = new Uint8Array(width * height * 4).fill(255); // [height, width, 4]
    for (let i = 0; i < width * height; i++) {
      const isHidden = hide !== "nothing" && i % width < 60;
      for (let c = 0; c < 3; c++) {
        rgba[4 * i + c] = isHidden && hide === "black" ? 0 : rgb[3 * i + c]!;
      }
      rgba[4 * i + 3] = isHidden ? 0 : 251; // a resampled alpha is often not quite 255
    }
    return sharp(rgba, { raw: { width, height, channels: 4 } }).png().toBuffer();
  };
  for (const hide of ["nothing", "tissue", "black"] as const) {
    const look = await lookAt(await pixels(hide), "x.png", 100);
    assert.equal(look.hidesTissue, hide === "tissue", hide);
  }
});

Deno.test("differenceHash() sets a bit where it gets brighter to the right", () => {
  const rising = new Uint8Array(36 * 36).map((_, i) => i % 36);
  assert.equal(differenceHash(rising), "ffffffffffffffff");
  const falling = rising.map((value) => 36 - value);
  assert.equal(differenceHash(falling), "0000000000000000");
  const firstCell = new Uint8Array(36 * 36); // only the second cell of the first row is bright
  for (let y = 0; y < 4; y++) firstCell.fill(9, y * 36 + 4, y * 36 + 8);
  assert.equal(differenceHash(firstCell), "8000000000000000");
});
