import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { createRandom } from "../../lib/core/random.ts";
import type { Augmentation } from "../../lib/core/settings.ts";
import { SYMMETRIES } from "../../lib/data/look.ts";
import {
  applyChanges,
  applySymmetry,
  augment,
  changeLight,
  cutOut,
  gaussianBlur,
  recompress,
  varyStain,
  warp,
} from "../../lib/images/augment.ts";
import { drawChanges, isAugmented, NO_CHANGES, viewRandom } from "../../lib/images/views.ts";
import { askPython } from "../ask_python.ts";
import { picturePixels } from "../data/test_images.ts";

const SIZE = 40;

const picture = picturePixels(5, SIZE, SIZE);

const random = createRandom("noise");

/** Nothing is hidden by smoothness. */
const noise = Uint8Array.from(picture, () => random.integer(256));

const OFF = parseConfig({ training: { augmentation: "none" } }).training.augmentation;

const ALL: Augmentation = {
  ...{ symmetries: true, rotation: 20, scale: 0.2, shift: 0.1, brightness: 0.1, contrast: 0.2 },
  ...{ stain: 0.2, stains: "pas_hematoxylin", blur: 1, jpegQuality: 60, cutOut: 0.3 },
};

/** What the oracle makes of `picture`, as floating-point numbers from 0 to 255. */
async function oracle(cases: { name: string; values: readonly unknown[] }[]): Promise<number[][]> {
  const request = { size: SIZE, pixels: [...picture], cases };
  const script = join(import.meta.dirname!, "augment_oracle.py");
  return await askPython(script, request) as number[][];
}

/** Declares a test that a change is the oracle's of these values, to so many grey levels. */
function agrees<T extends readonly unknown[]>(
  title: string,
  { name, most }: { name: string; most: number },
  cases: readonly T[],
  ours: (...values: T) => Uint8Array,
): void {
  Deno.test(title, async () => {
    const expected = await oracle(cases.map((values) => ({ name, values })));
    for (const [i, values] of cases.entries()) {
      const pixels = ours(...values);
      assert.equal(pixels.length, expected[i]!.length);
      const worst = Math.max(...expected[i]!.map((value, p) => Math.abs(value - pixels[p]!)));
      assert.ok(worst <= most, `${JSON.stringify(values)}: ${worst}`);
    }
  });
}

agrees(
  "warp() resamples as scipy does, mirrored at the borders",
  { name: "warp", most: 0.5 + 1e-6 },
  [
    [17, 1, [0, 0]],
    [-45, 1, [0, 0]],
    [0, 1.3, [0, 0]],
    [0, 0.5, [0, 0]],
    [0, 1, [0.25, -0.1]],
    [31, 0.8, [-0.12, 0.2]],
  ] as const,
  (rotation, scale, shift) => warp(picture, SIZE, { rotation, scale, shift }),
);

agrees(
  "gaussianBlur() is scipy's filter, to a grey level",
  { name: "blur", most: 1 },
  [[0.05], [0.3], [0.7], [1], [2.2], [3]] as const,
  (deviation) => gaussianBlur(picture, SIZE, deviation),
);

agrees(
  "changeLight() is numpy's arithmetic, with ends that clip",
  { name: "light", most: 0.5 + 1e-6 },
  [[0.1, 1], [-0.5, 1], [0, 0.5], [0, 1.5], [0.2, 1.3]] as const,
  (brightness, contrast) => changeLight(picture, brightness, contrast),
);

const haematoxylin = [0.644211, 0.716556, 0.266844];

for (
  const [stains, other] of [
    ["hematoxylin_eosin", [0.092789, 0.954111, 0.283111]],
    ["pas_hematoxylin", [0.175411, 0.972178, 0.154589]],
  ] as const
) {
  agrees(
    `varyStain() scales stains as numpy's colour deconvolution does: ${stains}`,
    { name: "stain", most: 0.6 },
    ([[1, 1], [0.5, 1], [1, 1.5], [1.2, 0.8]] as const).map((
      factors,
    ): [unknown, readonly [number, number]] => [[haematoxylin, other], factors]),
    (_, factors) => varyStain(picture, stains, factors),
  );
}

Deno.test("varyStain() leaves white white, and every pixel where both factors are 1", () => {
  const white = new Uint8Array(12).fill(255);
  for (const stains of ["hematoxylin_eosin", "pas_hematoxylin"] as const) {
    assert.deepEqual(varyStain(white, stains, [0.5, 1.5]), white);
    assert.deepEqual(varyStain(noise, stains, [1, 1]), noise);
  }
});

Deno.test("recompress() loses about as much as Pillow's JPEG of that quality", async () => {
  const qualities = [95, 75, 30];
  const expected = await oracle(qualities.map((value) => ({ name: "jpeg", values: [value] })));
  const mean = (other: ArrayLike<number>) =>
    picture.reduce((sum, value, i) => sum + Math.abs(value - other[i]!), 0) / picture.length;
  for (const [i, quality] of qualities.entries()) {
    const [ours, theirs] = [mean(await recompress(picture, SIZE, quality)), mean(expected[i]!)];
    assert.ok(ours > 0 && Math.abs(ours / theirs - 1) < 0.15, `${quality}: ${ours}, ${theirs}`);
  }
});

Deno.test("applySymmetry() is an exact group: two in a row are one of the eight", () => {
  const images = SYMMETRIES.map((_, symmetry) => applySymmetry(noise, SIZE, symmetry));
  assert.deepEqual(images[0], noise);
  assert.equal(new Set(images.map(String)).size, 8);
  const sorted = noise.toSorted();
  for (const image of images) {
    assert.deepEqual(image.toSorted(), sorted);
    const again = SYMMETRIES.map((_, symmetry) => String(applySymmetry(image, SIZE, symmetry)));
    assert.deepEqual(new Set(again), new Set(images.map(String)));
  }
});

Deno.test("applySymmetry() turns and mirrors as its names say", () => {
  const corners = [1, 2, 3, 4].flatMap((value) => [value, value, value]); // 1 2 over 3 4
  const seen = SYMMETRIES.map((_, symmetry) =>
    [...applySymmetry(Uint8Array.from(corners), 2, symmetry)].filter((_, i) => i % 3 === 0).join("")
  );
  assert.deepEqual(seen, ["1234", "3142", "4321", "2413", "2143", "4231", "3412", "1324"]);
});

Deno.test("warp() by a quarter turn is the symmetry", () => {
  const quarter = warp(noise, SIZE, { rotation: 90, scale: 1, shift: [0, 0] });
  assert.deepEqual(quarter, applySymmetry(noise, SIZE, 1));
});

Deno.test("cutOut() blanks one square with the mean colour and nothing else", () => {
  fc.assert(
    fc.property(upTo(1), upTo(1), upTo(1), (side, x, y) => {
      const given = Buffer.from(noise); // as sharp decodes
      const result = cutOut(given, SIZE, { side, x, y });
      assert.deepEqual(new Uint8Array(given), noise);
      const extent = Math.round(side * SIZE);
      const mean = [0, 1, 2].map((c) =>
        Math.round(noise.reduce((sum, v, i) => i % 3 === c ? sum + v : sum, 0) / (SIZE * SIZE))
      );
      const blank = Array.from({ length: SIZE * SIZE }, (_, i) => i)
        .filter((i) => mean.every((value, c) => result[3 * i + c] === value));
      const kept = result.filter((value, i) => value === noise[i]).length;
      assert.ok(blank.length >= extent ** 2);
      assert.ok(kept >= 3 * (SIZE * SIZE - extent ** 2));
      const columns = blank.map((i) => i % SIZE);
      if (extent > 1) assert.ok(Math.max(...columns) - Math.min(...columns) >= extent - 1);
    }),
    { seed: 1, numRuns: 30 },
  );
});

Deno.test("augment() gives an image of the same size, and never touches the one it was given", () =>
  fc.assert(
    fc.asyncProperty(anyAugmentation(), fc.nat(), async (augmentation, seed) => {
      const given = Buffer.from(noise); // as sharp decodes
      const result = await augment(given, SIZE, augmentation, createRandom(seed));
      assert.ok(result instanceof Uint8Array);
      assert.equal(result.length, noise.length);
      assert.deepEqual(new Uint8Array(given), noise);
    }),
    { seed: 1, numRuns: 60 },
  ));

Deno.test("augment() with everything off, or by zero, changes no pixel", async () => {
  for (let seed = 0; seed < 20; seed++) {
    assert.deepEqual(await augment(noise, SIZE, OFF, createRandom(seed)), noise);
  }
  assert.equal(isAugmented(OFF), false);
  assert.deepEqual(drawChanges(OFF, createRandom(1)).placement.scale, 1);
  assert.deepEqual(await applyChanges(noise, SIZE, NO_CHANGES), noise);
});

Deno.test("augment() depends on seed, view and image alone, not on what came before", async () => {
  const seen = ([seed, view, index]: readonly [number, number, number]) =>
    augment(noise, SIZE, ALL, viewRandom(seed, view, index));
  const places = [[1, 1, 0], [1, 1, 1], [1, 2, 0], [2, 1, 0], [1, 11, 1], [1, 1, 11]] as const;
  const first: string[] = [];
  for (const place of places) first.push(String(await seen(place)));
  const reversed = await Promise.all(places.toReversed().map(seen));
  assert.deepEqual(reversed.toReversed().map(String), first);
  assert.equal(new Set(first).size, places.length);
});

Deno.test("drawChanges() stays within the limits, fills them, and keeps the others' draws", () => {
  const draws = Array.from({ length: 400 }, (_, i) => drawChanges(ALL, createRandom(i)));
  const spread = (values: number[], low: number, high: number) => {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    assert.ok(least >= low && most <= high, `${least} to ${most}`);
    assert.ok(most - least > 0.95 * (high - low), `${least} to ${most}`);
  };
  assert.equal(new Set(draws.map(({ symmetry }) => symmetry)).size, 8);
  spread(draws.map(({ placement }) => placement.rotation), -20, 20);
  spread(draws.map(({ placement }) => placement.scale), 0.8, 1.2);
  spread(draws.flatMap(({ placement }) => placement.shift), -0.1, 0.1);
  spread(draws.map(({ brightness }) => brightness), -0.1, 0.1);
  spread(draws.map(({ contrast }) => contrast), 0.8, 1.2);
  for (const i of [0, 1]) spread(draws.map(({ stainFactors }) => stainFactors[i]!), 0.8, 1.2);
  spread(draws.map(({ blur }) => blur), 0, 1);
  spread(draws.map(({ jpegQuality }) => jpegQuality), 60, 100);
  spread(draws.map(({ hole }) => hole.side), 0, 0.3);

  const alone = drawChanges({ ...OFF, blur: 1 }, createRandom(7));
  assert.equal(alone.blur, drawChanges(ALL, createRandom(7)).blur);
});

Deno.test("isAugmented() sees every augmentation that is on", () => {
  for (const [name, value] of Object.entries(ALL)) {
    assert.equal(isAugmented({ ...OFF, [name]: value }), name !== "stains", name);
  }
});

function upTo(max: number): fc.Arbitrary<number> {
  return fc.double({ min: 0, max, noNaN: true });
}

/** Any settings that the config allows. */
function anyAugmentation(): fc.Arbitrary<Augmentation> {
  return fc.record({
    symmetries: fc.boolean(),
    rotation: upTo(45),
    scale: upTo(0.5),
    shift: upTo(0.25),
    brightness: upTo(0.5),
    contrast: upTo(0.5),
    stain: upTo(0.5),
    stains: fc.constantFrom("hematoxylin_eosin", "pas_hematoxylin"),
    blur: upTo(3),
    jpegQuality: fc.integer({ min: 10, max: 100 }),
    cutOut: upTo(0.5),
  });
}
