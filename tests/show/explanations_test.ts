import assert from "node:assert/strict";
import sharp from "sharp";
import type { ExplainedReview } from "../../lib/evaluation/tally.ts";
import type { ExplainedPrediction } from "../../lib/metrics/explain.ts";
import { toHeatMap } from "../../lib/metrics/grad_cam.ts";
import type { Flag } from "../../lib/model/reference.ts";
import {
  explanationGrid,
  heatColor,
  heatOverlay,
  reviewGrid,
} from "../../lib/show/explanations.ts";

const SIZE = 32;

const grey = new Uint8Array(SIZE * SIZE * 3).fill(128);

/** Evidence in one of four corners: 0 top left, 1 top right, 2 bottom left, 3 bottom right. */
function cornerMap(corner: number, strength = 5) {
  const evidence = new Float32Array(16).fill(0);
  evidence[[0, 3, 12, 15][corner]!] = strength;
  return toHeatMap(evidence, { height: 4, width: 4 });
}

/** A picture whose map has evidence of this strength at its top right. */
function imageOf(path: string, predicted: string, strength: number) {
  const image = { path, pixels: grey, size: SIZE, probabilities: [], map: cornerMap(1, strength) };
  return { ...image, predicted, explained: predicted };
}

function explained(path: string, strength: number): ExplainedPrediction {
  const scores = { probability: 0.1234, uncalibrated: 0.1234 };
  const image = imageOf(path, "c", strength);
  return { path, label: "a_<b>", predicted: "c", group: "g", ...scores, image };
}

function reviewed(name: string, flags: Flag[], strength: number): ExplainedReview {
  const predicted = "c_<i>";
  const image = imageOf(name, predicted, strength);
  return { name, predicted, probability: 0.625, flags, image };
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
  const examples = ["<script>.png", "b.png", "x/c\u0000.png"].map(explained);
  const group = { kind: "mistakes", label: null, examples, of: 7 } as const;
  const figure = await explanationGrid({ run: "trial", classes: ["a", "<i>"] }, group);
  assert.doesNotMatch(figure.svg, /<script>|<i>|<b>/);
  assert.ok(!figure.svg.includes("\u0000"));
  assert.equal(figure.svg.match(/<image /g)!.length, 6);
  assert.match(figure.svg, /Run trial · 3 of n = 7 images/);
  assert.equal(figure.svg.match(/labelled a &lt;b&gt;/g)!.length, 3);
  assert.match(figure.svg, /predicted c, p = 0\.123 · no evidence for “c” found/);
  const [, width, height] = /^<svg [^>]*width="(\d+)" height="(\d+)"/.exec(figure.svg)!;
  assert.ok(Number(width) <= 720);
  const { data, info } = await sharp(new TextEncoder().encode(figure.svg)).removeAlpha().raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height], [Number(width), Number(height)]);
  assert.ok(data.some((_, i) => i % 3 === 0 && data[i]! > 150 && data[i + 2]! < 110), "yellow");
});

Deno.test("explanationGrid() and reviewGrid() of nothing say that there is nothing", async () => {
  const of = async (kind: "mistakes" | "typical", label: string | null) => {
    const group = { kind, label, examples: [], of: 0 };
    return (await explanationGrid({ run: "trial", classes: ["a_b", "c"] }, group)).text;
  };
  assert.match(await of("mistakes", null), /There is no mistake among the test images/);
  assert.match(await of("typical", "a_b"), /typical “a b”.*There is no such image/);
  const { svg } = await reviewGrid([], { run: "r", positive: "c", of: 0 });
  assert.match(svg, /No image needs a review\./);
  assert.doesNotMatch(svg, /<image /);
});

Deno.test("reviewGrid() says of each image why it is there, and lets no name be markup", async () => {
  const { svg } = await reviewGrid(
    [reviewed("a/<b>.png", ["unusual_colour", "unfamiliar"], 1), reviewed("d.png", [], 0)],
    { run: "r<1>", positive: "c_<i>", of: 12 },
  );
  assert.match(svg, /2 of n = 12 images.*p = 0\.625.*unusual colour, unfamiliar/);
  assert.match(svg, /p = 0\.625 · no evidence for it found.*uncertain/);
  assert.doesNotMatch(svg, /<b>|<i>|<1>/);
  assert.equal(svg.match(/<image /g)?.length, 4);
});
