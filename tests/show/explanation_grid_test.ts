import assert from "node:assert/strict";
import sharp from "sharp";
import type { ExplainedPrediction } from "../../lib/metrics/explain.ts";
import { toHeatMap } from "../../lib/metrics/grad_cam.ts";
import { explanationGrid, heatColor, heatOverlay } from "../../lib/show/explanations.ts";

const SIZE = 32;

const grey = new Uint8Array(SIZE * SIZE * 3).fill(128);

/** Evidence in one of four corners: 0 top left, 1 top right, 2 bottom left, 3 bottom right. */
function cornerMap(corner: number, strength = 5) {
  const evidence = new Float32Array(16).fill(0);
  evidence[[0, 3, 12, 15][corner]!] = strength;
  return toHeatMap(evidence, { height: 4, width: 4 });
}

function example(path: string, strength: number): ExplainedPrediction {
  const [label, predicted] = ["a_<b>", "c"];
  const probability = 0.1234;
  const map = cornerMap(1, strength);
  const image = {
    path,
    pixels: grey,
    size: SIZE,
    probabilities: [],
    predicted,
    explained: predicted,
  };
  const scored = { predicted, probability, uncalibrated: probability };
  return { path, label, ...scored, group: "g", image: { ...image, map } };
}

/** WCAG's relative luminance. */
function luminance(color: readonly number[]): number {
  const [r, g, b] = color.map((byte) => {
    const value = byte / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

Deno.test("heatColor() grows lighter all the way, so that grey print and every eye see the order", () => {
  const values = Array.from({ length: 33 }, (_, i) => luminance(heatColor(i / 32)));
  values.slice(1).forEach((value, i) => assert.ok(value > values[i]! + 0.003, `step ${i}`));
  assert.ok(values[0]! < 0.03 && values.at(-1)! > 0.75);
  assert.deepEqual([heatColor(-1), heatColor(2)], [heatColor(0), heatColor(1)]);
});

Deno.test("heatOverlay() is brightest where the evidence is, and leaves a picture without any", () => {
  for (const corner of [0, 1, 2, 3]) {
    const overlay = heatOverlay(grey, SIZE, cornerMap(corner));
    const at = (y: number, x: number) =>
      luminance([0, 1, 2].map((c) => overlay[3 * (y * SIZE + x) + c]!));
    const corners = [at(3, 3), at(3, 28), at(28, 3), at(28, 28)];
    assert.equal(corners.indexOf(Math.max(...corners)), corner);
  }
  assert.deepEqual(heatOverlay(grey, SIZE, cornerMap(0, -1)), grey);
});

Deno.test("explanationGrid() shows each picture beside its overlay, and escapes names", async () => {
  const examples = ["<script>.png", "b.png", "x/c\u0000.png"].map((path, i) => example(path, i));
  const figure = await explanationGrid({ kind: "mistakes", label: null, examples, of: 7 }, {
    run: "trial",
    positive: "<i>",
  });
  assert.doesNotMatch(figure.svg, /<script>|<i>|<b>/);
  assert.ok(!figure.svg.includes("\u0000"));
  assert.equal(figure.svg.match(/<image /g)!.length, 6);
  assert.match(figure.svg, /Run trial · 3 of n = 7 images/);
  assert.equal(figure.svg.match(/labelled a &lt;b&gt;/g)!.length, 3);
  assert.match(figure.svg, /answered c, p = 0\.123 · no evidence for “c” found/);
  const [, width, height] = /^<svg [^>]*width="(\d+)" height="(\d+)"/.exec(figure.svg)!;
  assert.ok(Number(width) <= 720);
  const { data, info } = await sharp(new TextEncoder().encode(figure.svg)).removeAlpha().raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height], [Number(width), Number(height)]);
  assert.ok(data.some((_, i) => i % 3 === 0 && data[i]! > 150 && data[i + 2]! < 110), "yellow");
});

Deno.test("explanationGrid() of nothing says that there is nothing", async () => {
  const options = { run: "trial", positive: "c" };
  const none = await explanationGrid(
    { kind: "mistakes", label: null, examples: [], of: 0 },
    options,
  );
  assert.match(none.text, /There is no mistake among the test images/);
  const typical = { kind: "typical", label: "a_b", examples: [], of: 0 } as const;
  const other = await explanationGrid({ ...typical, examples: [] }, options);
  assert.match(other.text, /typical “a b”, classified rightly.*There is no such image/);
});
