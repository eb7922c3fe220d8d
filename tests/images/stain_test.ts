import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { createRandom } from "../../lib/core/random.ts";
import {
  macenkoColours,
  normaliseMacenko,
  normaliseReinhard,
  normaliseStain,
  reinhardColours,
} from "../../lib/images/stain.ts";
import { fitStainReference } from "../../lib/model/start.ts";
import { stainReferenceSchema } from "../../lib/run/model_card.ts";
import { askPython } from "../ask_python.ts";
import { inFolder, put } from "../data/test_images.ts";

const SIDE = 40;

/** A stained picture: two stains in random amounts, glass in a corner. [1600, 3] */
function stained(seed: number, strength = 1): Uint8Array {
  const random = createRandom(`stain/${seed}`);
  const stains = [[0.65, 0.7, 0.29], [0.2, 0.95, 0.2]];
  const pixels = new Uint8Array(SIDE * SIDE * 3);
  for (let i = 0; i < SIDE * SIDE; i++) {
    const isGlass = i % SIDE < 8 && i < 8 * SIDE;
    const amounts = isGlass ? [0, 0] : [1.2 * random.next() ** 2, 0.2 + 0.8 * random.next()];
    for (let c = 0; c < 3; c++) {
      const density = strength * (amounts[0]! * stains[0]![c]! + amounts[1]! * stains[1]![c]!) +
        0.01 * random.next();
      pixels[3 * i + c] = Math.round(255 * Math.exp(-density));
    }
  }
  return pixels;
}

const close = (a: readonly number[], b: readonly number[], bound: number, what: string) =>
  a.forEach((value, i) => assert.ok(Math.abs(value - b[i]!) < bound, `${what}: ${a} and ${b}`));

Deno.test("normaliseMacenko() and normaliseReinhard() do what numpy makes of the papers", async () => {
  const images = [1, 2, 3].map((seed) => stained(seed, 0.6 + 0.3 * seed));
  const reference = stained(9);
  const [macenko, reinhard] = [macenkoColours(reference)!, reinhardColours(reference)!];
  const answers = await askPython(join(import.meta.dirname!, "stain_oracle.py"), {
    images: images.map((pixels) => [...pixels]),
    ...macenko,
    ...reinhard,
  }) as Record<"amounts" | "mean" | "deviation" | "macenko" | "reinhard", number[]>[] & {
    stains: number[][];
  }[];
  for (const [i, pixels] of images.entries()) {
    const [answer, own, colours] = [answers[i]!, macenkoColours(pixels)!, reinhardColours(pixels)!];
    own.stains.forEach((stain, s) => close(stain, answer.stains[s]!, 1e-9, "stain"));
    close(own.amounts, answer.amounts, 1e-9, "amounts");
    close(colours.mean, answer.mean, 1e-9, "mean");
    close(colours.deviation, answer.deviation, 1e-9, "deviation");
    // Rounded to whole grey levels; densities are looked up in steps of 1/2048.
    close([...normaliseMacenko(pixels, macenko)], answer.macenko, 0.6, "Macenko");
    close([...normaliseReinhard(pixels, reinhard)], answer.reinhard, 0.51, "Reinhard");
  }
});

for (const method of ["macenko", "reinhard"] as const) {
  const colours = (pixels: Uint8Array) =>
    stainReferenceSchema.parse({
      method,
      ...(method === "macenko" ? macenkoColours(pixels) : reinhardColours(pixels)),
    });

  Deno.test(`normaliseStain() leaves the reference itself as it is: ${method}`, () => {
    const pixels = stained(4);
    const again = normaliseStain(pixels, colours(pixels));
    const worst = pixels.reduce((most, value, i) => Math.max(most, Math.abs(value - again[i]!)), 0);
    assert.ok(worst <= 1, `${worst} grey levels`);
  });

  Deno.test(`normaliseStain() brings two stainings together and keeps glass white: ${method}`, () => {
    const reference = colours(stained(4));
    const mean = (pixels: Uint8Array) => pixels.reduce((sum, v) => sum + v, 0) / pixels.length;
    const [pale, dark] = [stained(5, 0.6), stained(5, 1.5)];
    const apart = Math.abs(mean(pale) - mean(dark));
    const after = [pale, dark].map((pixels) => normaliseStain(pixels, reference));
    const left = Math.abs(mean(after[0]!) - mean(after[1]!));
    assert.ok(apart > 20 && left < apart / 5, `${apart} grey levels apart, then ${left}`);
    for (const pixels of after) assert.ok(Math.min(...pixels.subarray(0, 3)) >= 248, "glass");
  });

  Deno.test(`normaliseStain() never fails and leaves what has no stain as it is: ${method}`, () => {
    const reference = colours(stained(4));
    for (const value of [0, 128, 255]) {
      const plain = new Uint8Array(300).fill(value);
      assert.deepEqual(normaliseStain(plain, reference), plain);
    }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 30, maxLength: 300 }), (bytes) => {
        const pixels = bytes.slice(0, bytes.length - bytes.length % 3);
        const before = pixels.slice();
        const after = normaliseStain(pixels, reference);
        assert.equal(after.length, pixels.length);
        assert.deepEqual(pixels, before);
        assert.deepEqual(normaliseStain(pixels, reference), after);
      }),
      { seed: 1, numRuns: 300 },
    );
  });
}

Deno.test("fitStainReference() is the same in any order of the images, and null for none", () =>
  inFolder(async (folder) => {
    const paths: string[] = [];
    for (let i = 0; i < 5; i++) {
      const raw = { width: SIDE, height: SIDE, channels: 3 } as const;
      await put(folder, `${i}.png`, await sharp(stained(i), { raw }).png().toBuffer());
      paths.push(join(folder, `${i}.png`));
    }
    const options = { size: SIDE, resize: "squash", maxMegapixels: 1, seed: 1 } as const;
    for (const method of ["macenko", "reinhard"] as const) {
      const reference = await fitStainReference(paths, { ...options, method });
      assert.equal(stainReferenceSchema.parse(reference).method, method);
      const other = await fitStainReference(paths.toReversed(), { ...options, method });
      assert.deepEqual(other, reference);
    }
    assert.equal(await fitStainReference(paths, { ...options, method: "none" }), null);
  }));
