import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { DataError } from "../../lib/core/errors.ts";
import { createRandom } from "../../lib/core/random.ts";
import {
  macenkoColours,
  normaliseMacenko,
  normaliseReinhard,
  normaliseStain,
  reinhardColours,
} from "../../lib/images/stain.ts";
import { fitStainReference } from "../../lib/model/start.ts";
import { type StainReference, stainReferenceSchema } from "../../lib/run/model_card.ts";
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

async function save(folder: string, name: string, pixels: Uint8Array, side: number) {
  const raw = { width: side, height: side, channels: 3 } as const;
  await put(folder, name, await sharp(pixels, { raw }).png().toBuffer());
  return join(folder, name);
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
    const files = Array.from(Array(5), (_, i) => save(folder, `${i}.png`, stained(i), SIDE));
    const paths = await Promise.all(files);
    const options = { size: SIDE, resize: "squash", maxMegapixels: 1, seed: 1 } as const;
    for (const method of ["macenko", "reinhard"] as const) {
      const reference = await fitStainReference(paths, { ...options, method });
      assert.equal(stainReferenceSchema.parse(reference).method, method);
      const other = await fitStainReference(paths.toReversed(), { ...options, method });
      assert.deepEqual(other, reference);
    }
    assert.equal(await fitStainReference(paths, { ...options, method: "none" }), null);
  }));

const REFERENCES: readonly StainReference[] = [
  {
    method: "macenko",
    stains: [[0.5942, 0.7018, 0.3930], [0.2421, 0.8764, 0.4162]].map((v) =>
      v.map((x) => x / Math.hypot(...v))
    ) as [[number, number, number], [number, number, number]],
    amounts: [1.98, 2.92],
  },
  { method: "reinhard", mean: [-0.685, -0.0866, 0.0334], deviation: [0.2755, 0.038, 0.0193] },
];

/** One colour and noise around it, [64 · 64, 3]. */
function plain(colour: readonly number[], noise: number): Uint8Array {
  const random = createRandom(`${colour}/${noise}`);
  const value = (c: number) => Math.round(colour[c]! + noise * (2 * random.next() - 1));
  return Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => value(i % 3));
}

/** Two stains in random amounts, without glass, [64 · 64, 3]. */
function tissue(seed: string): Uint8Array {
  const random = createRandom(seed);
  const pixels = new Uint8Array(64 * 64 * 3);
  for (let i = 0; i < pixels.length; i += 3) {
    const [first, second] = [random.next(), 0.3 + random.next()];
    pixels[i] = 255 * Math.exp(-(0.65 * first + 0.2 * second));
    pixels[i + 1] = 255 * Math.exp(-(0.7 * first + 0.95 * second));
    pixels[i + 2] = 255 * Math.exp(-(0.29 * first + 0.2 * second));
  }
  return pixels;
}

for (const reference of REFERENCES) {
  const { method } = reference;

  Deno.test(`normaliseStain() makes no patterns of the noise of a plain surface: ${method}`, () => {
    for (const colour of [[200, 120, 180], [120, 60, 120], [210, 190, 205]]) {
      for (const noise of [1, 2, 4]) {
        const pixels = plain(colour, noise);
        assert.deepEqual(normaliseStain(pixels, reference), pixels, `${colour} ± ${noise}`);
      }
    }
  });

  // Macenko's method scales densities: of near-white its factor, and nothing only of white itself.
  const glass = method === "macenko" ? 255 : 246;

  Deno.test(`normaliseStain() leaves glass of ${glass} beside tissue as it is: ${method}`, () => {
    const pixels = new Uint8Array(64 * 64 * 3).fill(glass);
    const half = pixels.length / 2;
    pixels.set(tissue(`glass/${method}`).subarray(0, half));
    const after = normaliseStain(pixels, reference);
    assert.notDeepEqual(after.subarray(0, half), pixels.subarray(0, half));
    assert.deepEqual(after.subarray(half), pixels.subarray(half));
  });
}

Deno.test("stainReferenceSchema takes what was fitted through JSON, and nothing that blanks images", () => {
  for (const reference of REFERENCES) {
    assert.deepEqual(stainReferenceSchema.parse(JSON.parse(JSON.stringify(reference))), reference);
  }
  const [macenko, reinhard] = REFERENCES as [StainReference, StainReference];
  const stain = [0.6, 0.8, 0];
  const refused: Record<string, unknown>[] = [
    { ...macenko, stains: [[0, 0, 0], [0, 0, 0]] },
    { ...macenko, stains: [stain, stain] },
    { ...macenko, stains: [stain, [0.61, 0.79, 0]] },
    { ...macenko, stains: [stain] },
    { ...macenko, stains: [[NaN, 1, 0], stain] },
    { ...macenko, amounts: [1e300, 1] },
    { ...macenko, amounts: [0, 1] },
    { ...macenko, amounts: [Infinity, 1] },
    { ...reinhard, deviation: [1e308, 1, 1] },
    { ...reinhard, deviation: [0, 1, 1] },
    { ...reinhard, mean: [null, 0, 0] },
    { ...reinhard, mean: [0, 0] },
    { ...reinhard, method: "other" },
  ];
  for (const bad of refused) {
    assert.ok(!stainReferenceSchema.safeParse(bad).success, JSON.stringify(bad));
  }
});

Deno.test("fitStainReference() says so when no image has stained tissue, and passes over those", () =>
  inFolder(async (folder) => {
    const options = { size: 64, resize: "squash", maxMegapixels: 1, seed: 1 } as const;
    const blank = [
      await save(folder, "white.png", plain([250, 250, 250], 2), 64),
      await save(folder, "pink.png", plain([200, 120, 180], 4), 64),
    ];
    const stained = await save(folder, "stained.png", tissue("fit"), 64);
    for (const method of ["macenko", "reinhard"] as const) {
      const fit = (paths: readonly string[]) => fitStainReference(paths, { ...options, method });
      const refused = { name: DataError.name, message: new RegExp(method) };
      await assert.rejects(fit(blank), refused);
      assert.deepEqual(await fit([...blank, stained]), await fit([stained]));
    }
  }));
