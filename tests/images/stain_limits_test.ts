import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { DataError } from "../../lib/core/errors.ts";
import { createRandom } from "../../lib/core/random.ts";
import { percentile } from "../../lib/core/stats.ts";
import { normaliseStain } from "../../lib/images/stain.ts";
import { fitStainReference } from "../../lib/model/start.ts";
import { type StainReference, stainReferenceSchema } from "../../lib/run/model_card.ts";
import { inFolder, put } from "../data/test_images.ts";

const REFERENCES: readonly StainReference[] = [
  {
    method: "macenko",
    stains: [[0.5942, 0.7018, 0.3930], [0.2421, 0.8764, 0.4162]].map((v) =>
      v.map((x) => x / Math.hypot(...v))
    ) as [[number, number, number], [number, number, number]],
    amounts: [1.98, 2.92],
  },
  {
    method: "reinhard",
    mean: [-0.685, -0.0866, 0.0334],
    deviation: [0.2755, 0.038, 0.0193],
  },
];

Deno.test("percentile() is numpy's linear percentile, by sorting", () => {
  const value = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true }));
  const finite = fc.array(value.filter(Number.isFinite), { minLength: 1, maxLength: 200 });
  fc.assert(
    fc.property(finite, fc.double({ min: 0, max: 100, noNaN: true }), (values, percent) => {
      const sorted = values.toSorted((a, b) => a - b);
      const place = percent / 100 * (values.length - 1);
      const [low, high] = [Math.floor(place), Math.ceil(place)].map((i) => sorted[i]!) as [
        number,
        number,
      ];
      const expected = low + (place - Math.floor(place)) * (high - low);
      const actual = percentile(Float64Array.from(values), percent);
      if (!Number.isFinite(high - low)) return; // the whole range of doubles between neighbours
      assert.ok(Math.abs(actual - expected) <= 1e-12 * Math.max(1, Math.abs(expected)));
    }),
    { seed: 3, numRuns: 500 },
  );
});

Deno.test("percentile() takes time in proportion to the values, however they lie", () => {
  const n = 300_000;
  for (
    const at of [
      (i: number) => i, // rising
      (i: number) => n - i, // falling
      () => 1, // all the same
      (i: number) => i % 7,
      (i: number) => Math.min(i, n - i), // up and down
    ]
  ) {
    const values = Float64Array.from({ length: n }, (_, i) => at(i));
    const expected = values.toSorted()[Math.round(0.99 * (n - 1))]!;
    const start = performance.now();
    assert.ok(Math.abs(percentile(values, 99) - expected) <= 1);
    assert.ok(performance.now() - start < 2000, "quadratic time would be a minute");
  }
});

/** One colour and noise around it, [64 · 64, 3]. */
function plain(colour: readonly number[], noise: number): Uint8Array {
  const random = createRandom(`${colour}/${noise}`);
  return Uint8Array.from(
    { length: 64 * 64 * 3 },
    (_, i) => Math.round(colour[i % 3]! + noise * (2 * random.next() - 1)),
  );
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
    const again: unknown = JSON.parse(JSON.stringify(reference));
    assert.deepEqual(stainReferenceSchema.parse(again), reference);
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
    const save = async (name: string, pixels: Uint8Array) => {
      const raw = { width: 64, height: 64, channels: 3 } as const;
      await put(folder, name, await sharp(pixels, { raw }).png().toBuffer());
      return join(folder, name);
    };
    const blank = [
      await save("white.png", plain([250, 250, 250], 2)),
      await save("pink.png", plain([200, 120, 180], 4)),
    ];
    const stained = await save("stained.png", tissue("fit"));
    for (const method of ["macenko", "reinhard"] as const) {
      await assert.rejects(
        fitStainReference(blank, { ...options, method }),
        (error) => error instanceof DataError && error.message.includes(method),
      );
      assert.deepEqual(
        await fitStainReference([...blank, stained], { ...options, method }),
        await fitStainReference([stained], { ...options, method }),
      );
    }
  }));
