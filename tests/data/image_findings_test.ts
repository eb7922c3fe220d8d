import fc from "fast-check";
import assert from "node:assert/strict";
import { imageFindings } from "../../lib/data/image_findings.ts";
import type { Look, Measures } from "../../lib/data/look.ts";

type Change = Partial<Omit<Look, "measures">> & { measures?: Partial<Measures> };

function looked(path: string, { measures, ...change }: Change = {}) {
  return {
    path,
    look: {
      format: "png" as const,
      width: 700,
      height: 730,
      channels: 4,
      mode: "",
      hidesTissue: false,
      fingerprint: { dhash: "", thumbnail: "" },
      ...change,
      measures: { ...MEASURES, ...measures },
    },
  };
}

const MEASURES = { dark: 60, bright: 235, contrast: 45, blur: 0.33, colour: 100, margin: 0 };

/** Usual images of slightly different size and sharpness. */
const usual = (count: number) =>
  Array.from({ length: count }, (_, i) =>
    looked(`${i}.png`, {
      width: 600 + 10 * (i % 20),
      height: 800 - 7 * (i % 30),
      measures: { blur: 0.3 + 0.005 * (i % 17) },
    }));

const kinds = (images: readonly ReturnType<typeof looked>[]) =>
  imageFindings(images).map(({ path, finding }) => `${path}: ${finding}`);

const withOdd = (change: Change, path = "odd.png") => kinds([...usual(40), looked(path, change)]);

Deno.test("imageFindings() finds nothing among usual images", () => {
  assert.deepEqual(kinds(usual(40)), []);
  assert.deepEqual(kinds([]), []);
});

Deno.test("imageFindings() finds each kind of fault, and that kind alone", () => {
  const faults: [string, Change][] = [
    ["unusual_mode", { mode: "16-bit" }],
    ["unusual_mode", { mode: "grey", channels: 1, measures: { colour: 0 } }],
    ["unusual_mode", { measures: { colour: 3 } }],
    ["unusual_mode", { hidesTissue: true }],
    ["size_outlier", { width: 200, height: 210 }],
    ["size_outlier", { width: 2100, height: 2000 }],
    ["aspect_outlier", { width: 1400, height: 400 }],
    ["aspect_outlier", { width: 400, height: 1400 }],
    ["blurred", { measures: { blur: 0.8 } }],
    ["empty_margin", { measures: { margin: 0.3 } }],
    ["too_dark", { measures: { dark: 0, bright: 50, colour: 0, margin: 1, blur: 0.9 } }],
    ["too_bright", { measures: { dark: 230, bright: 250, colour: 0, margin: 1, blur: 0.9 } }],
    ["nearly_uniform", { measures: { dark: 120, bright: 126, contrast: 2, colour: 0, blur: 0.9 } }],
  ];
  for (const [kind, change] of faults) {
    assert.deepEqual(withOdd(change), [`odd.png: ${kind}`], JSON.stringify(change));
  }
  assert.deepEqual(withOdd({ format: "jpeg" }), ["odd.png: wrong_extension"]);
  assert.deepEqual(withOdd({ format: "jpeg" }, "odd.JPG"), []);
});

Deno.test("imageFindings() names the measured value and the usual one", () => {
  const numbers = (change: Change) =>
    imageFindings([...usual(40), looked("odd.png", change)])[0]!.detail.match(/[\d.]*\d/g);
  assert.match(numbers({ measures: { blur: 0.8 } })!.join(), /^0.80,1,0.3\d$/);
  const sides = [200 * 210, ...usual(40).map(({ look }) => look.width * look.height)]
    .map(Math.sqrt).sort((a, b) => a - b);
  const side = sides[20]!.toFixed();
  assert.deepEqual(numbers({ width: 200, height: 210 }), ["200", "210", side, side]);
  assert.equal(numbers({ measures: { margin: 0.3 } })![0], "30");
  assert.deepEqual(numbers({ measures: { dark: 0, bright: 50 } })!.slice(-2), ["51", "255"]);
});

Deno.test("imageFindings() takes what the whole set shares for usual", () => {
  const all = (change: (i: number) => Change) =>
    kinds(usual(40).map(({ path }, i) => looked(path, change(i))));
  assert.deepEqual(all((i) => ({ measures: { blur: 0.7 + 0.002 * (i % 11) } })), []);
  assert.deepEqual(all(() => ({ mode: "grey" })), []);
  assert.deepEqual(all(() => ({ width: 90, height: 300 })), []);
  assert.deepEqual(all((i) => ({ mode: i % 2 ? "CMYK" : "" })), []);
});

Deno.test("imageFindings() compares with nothing where there is too little to compare with", () => {
  const odd = looked("odd.png", { width: 20, height: 200, measures: { blur: 0.9 } });
  assert.deepEqual(kinds([...usual(8), odd]), []);
  const outlying = ["size_outlier", "aspect_outlier", "blurred"].map((kind) => `odd.png: ${kind}`);
  assert.deepEqual(kinds([...usual(9), odd]), outlying);
});

Deno.test("imageFindings() finds a softer class no fault, even a fifth of the set", () => {
  const softer = Array.from(
    { length: 20 },
    (_, i) => looked(`soft${i}.png`, { measures: { blur: 0.38 + 0.0135 * i } }),
  );
  assert.deepEqual(kinds([...usual(80), ...softer]), []);
});

Deno.test("imageFindings() depends on no order and on no scale of the images", () => {
  const image = fc.record({
    width: fc.integer({ min: 8, max: 4000 }),
    height: fc.integer({ min: 8, max: 4000 }),
    mode: fc.constantFrom("", "", "", "grey", "16-bit"),
    blur: fc.double({ min: 0.1, max: 0.95, noNaN: true }),
  });
  fc.assert(
    fc.property(
      fc.array(image, { maxLength: 30 }),
      fc.integer({ min: 2, max: 5 }),
      (specs, scale) => {
        const images = (factor: number) =>
          specs.map(({ width, height, mode, blur }, i) => {
            const size = { width: width * factor, height: height * factor };
            return looked(`${i}.png`, { ...size, mode, measures: { blur } });
          });
        const found = kinds(images(1)).sort();
        assert.deepEqual(kinds(images(1).reverse()).sort(), found);
        assert.deepEqual(kinds(images(scale)).sort(), found);
      },
    ),
    { seed: 5, numRuns: 200 },
  );
});
