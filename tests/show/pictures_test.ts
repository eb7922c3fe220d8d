import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { parseConfig } from "../../lib/core/config.ts";
import type { Augmentation } from "../../lib/core/settings.ts";
import type { ExplainedReview } from "../../lib/evaluation/tally.ts";
import { augment } from "../../lib/images/augment.ts";
import { decodeImage } from "../../lib/images/decode.ts";
import {
  AUGMENTATION_KINDS,
  describeAugmentations,
  SHOWN_WHEN_OFF,
  viewRandom,
} from "../../lib/images/views.ts";
import type { ExplainedPrediction } from "../../lib/metrics/explain.ts";
import { toHeatMap } from "../../lib/metrics/grad_cam.ts";
import type { Flag } from "../../lib/model/reference.ts";
import {
  auditCounts,
  auditPolicies,
  type Finding,
  FINDING_MEANINGS,
  type FindingKind,
  policyOf,
} from "../../lib/run/findings.ts";
import {
  explanationGrid,
  heatColor,
  heatOverlay,
  reviewGrid,
} from "../../lib/show/explanations.ts";
import {
  auditPictures,
  augmentationGrid,
  imageGrid,
  withoutPicture,
} from "../../lib/show/pictures.ts";
import { inFolder, picture } from "../data/test_images.ts";

const background = { r: 200, g: 0, b: 150, alpha: 0.5 };

Deno.test("imageGrid() embeds small pictures, and says which cannot be read", async () => {
  await inFolder(async (folder) => {
    const good = join(folder, "<b>.png");
    const png = await sharp({ create: { width: 700, height: 350, channels: 4, background } }).png()
      .toBuffer();
    await Deno.writeFile(good, png);
    await Deno.writeFile(join(folder, "truncated.png"), png.subarray(0, png.length / 2));
    await Deno.writeTextFile(join(folder, "text.png"), "no image");
    await Deno.writeTextFile(join(folder, "empty.png"), "");
    const bad = ["truncated.png", "text.png", "empty.png", "missing.png"]
      .map((caption) => ({ path: join(folder, caption), caption }));
    const items = [{ path: good, caption: "<script>" }, ...bad];
    const { html, text } = await imageGrid(items, { title: "A & B", columns: 2 });
    assert.doesNotMatch(html, /<script>|<b>/);
    assert.equal(html.match(/cannot be read/g)?.length, 4);
    assert.equal(html.match(/<tr/g)?.length, 3);
    assert.equal(text, "A & B: 5 images");
    const [, encoded] = /data:image\/jpeg;base64,([^"]+)" width="140" height="70"/.exec(html)!;
    const jpeg = await sharp(Uint8Array.fromBase64(encoded!)).stats();
    const means = jpeg.channels.map((channel) => Math.round(channel.mean));
    // half transparent over white
    [228, 128, 203].forEach((value, i) => assert.ok(Math.abs(means[i]! - value) < 4, `${means}`));
  });
});

Deno.test("imageGrid() shows at most 100 images and says how many more there are", async () => {
  const items = Array.from({ length: 130 }, (_, i) => ({ path: "/nowhere", caption: String(i) }));
  const { html } = await imageGrid(items);
  assert.equal(html.match(/<td/g)?.length, 100);
  assert.match(html, /and 30 more images/);
});

const { audit } = parseConfig({}).data;

const folder = "/nowhere";

const finding = (kind: FindingKind, path: string, other_path = ""): Finding => ({
  path,
  finding: kind,
  detail: `detail of ${path}`,
  other_path,
});

Deno.test("auditPictures() shows a strip or pairs a kind, but those that are only kept", async () => {
  const findings = [
    ...[finding("unreadable", "a/bad.png"), finding("skipped", "a")],
    ...[finding("wrong_extension", "a/w.png"), finding("blurred", "a/1.png")],
    finding("too_dark", "a/2.png"),
    finding("duplicate", "a/3.png", "a/1.png"),
    finding("near_duplicate", "a/4.png", "a/1.png"),
  ];
  const policies = { tooDark: "drop", wrongExtension: "keep", nearDuplicate: "keep" } as const;
  const figures = await auditPictures({ folder, findings, audit: { ...audit, ...policies } });
  assert.deepEqual(figures.map(({ text }) => text), [
    "blurred · far less sharp than the other images · used · 1 image: 1 images",
    "too dark · nearly black · left out · 1 image: 1 images",
    "duplicate · the same bytes as another image of its class · left out · 1 pair",
  ]);
  assert.match(figures[0]!.html, /detail of a\/1\.png a\/1\.png/);
  assert.deepEqual(withoutPicture(findings), findings.slice(0, 2));
});

Deno.test("auditPictures() shows a pair once, and of many a few, from the first to the last", async () => {
  const twice = [
    finding("conflicting_labels", "a/1.png", "b/1.png"),
    finding("conflicting_labels", "b/1.png", "a/1.png"),
  ];
  const [pair] = await auditPictures({ folder, findings: twice, audit });
  assert.deepEqual(pair!.html.match(/detail of [^<]+/g), ["detail of a/1.png"]);
  const many = Array.from({ length: 200 }, (_, i) => finding("blurred", `a/${i}.png`));
  const [strip] = await auditPictures({ folder, findings: many, audit });
  assert.equal(strip!.html.match(/detail of/g)!.length, 10);
  assert.match(strip!.html, /200 images, 10 shown.*a\/0\.png.*a\/180\.png/);
  const twins = many.map(({ path }) => finding("duplicate", path, "a/x.png"));
  const [pairs] = await auditPictures({ folder, findings: twins, audit });
  assert.equal(pairs!.html.match(/detail of/g)!.length, 6);
  assert.match(pairs!.html, /200 pairs, 6 shown/);
});

Deno.test("auditPictures() takes names for text, never for HTML", async () => {
  const name = `a/<img src=x onerror="alert(1)">.png`;
  const findings = [finding("blurred", name), finding("duplicate", name, name)];
  const figures = await auditPictures({ folder, findings, audit });
  for (const { html } of figures) assert.doesNotMatch(html, /<img src=x/);
});

Deno.test("auditPolicies() has a line for every kind, auditCounts() what was found, in the same order", () => {
  const table = auditPolicies(audit);
  assert.deepEqual(table.map(({ finding }) => finding), Object.keys(FINDING_MEANINGS));
  for (const field of Object.keys(audit)) {
    const line = table.filter(({ policy }) => policy.startsWith(`data.audit.${field}:`));
    assert.equal(line.length, 1, field);
  }
  assert.equal(policyOf("unreadable", audit), "drop");
  assert.equal(policyOf("near_duplicate", { ...audit, nearDuplicate: "drop" }), "drop");
  assert.equal(policyOf("case_collision", audit), "warn");
  const findings = [finding("blurred", "b"), finding("unreadable", "a"), finding("blurred", "a")];
  assert.deepEqual(
    auditCounts(findings, audit).map(({ finding, policy, count }) => [finding, policy, count]),
    [["unreadable", "drop", 1], ["blurred", "warn", 2]],
  );
});

const OFF = parseConfig({ training: { augmentation: "none" } }).training.augmentation;

const decode = { size: 48, resize: "squash" as const, maxMegapixels: 1 };

/** The pictures of a grid, by row: [row][column] pixels. */
async function picturesOf(html: string): Promise<Uint8Array[][]> {
  const decode = async ([, encoded]: RegExpExecArray) =>
    new Uint8Array(await sharp(Uint8Array.fromBase64(encoded!)).raw().toBuffer());
  const rows = html.split("<tr").slice(1).map((row) => [...row.matchAll(/base64,([^"]+)"/g)]);
  return await Promise.all(rows.map((pictures) => Promise.all(pictures.map(decode))));
}

const meanDifference = (a: Uint8Array, b: Uint8Array) =>
  a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;

/** Images of which the last alone is positive, as a rare class would be. */
async function putItems(folder: string) {
  const items = [];
  for (let i = 0; i < 6; i++) {
    const path = join(folder, `${i}.png`);
    await picture(i, 60, 60).png().toFile(path);
    items.push({ path, label: i === 5 ? 1 : 0, sha256: `${i}`.padStart(64, "0") });
  }
  return items;
}

Deno.test("augmentationGrid() shows each alone beside the images as they are, of every class", () =>
  inFolder(async (folder) => {
    const items = await putItems(folder);
    const { html } = await augmentationGrid(items, { ...decode, augmentation: OFF, seed: 1 });
    const rows = await picturesOf(html);
    assert.deepEqual(rows.map((row) => row.length), Array(1 + AUGMENTATION_KINDS.length).fill(4));
    for (const [column, index] of [0, 5, 1, 2].entries()) {
      const { pixels } = await decodeImage(items[index]!.path, decode);
      assert.ok(meanDifference(rows[0]![column]!, pixels) < 2, "the first row is the images");
      for (const [i, { name }] of AUGMENTATION_KINDS.entries()) {
        const difference = meanDifference(rows[i + 1]![column]!, pixels);
        assert.ok(difference > 0.3, `${name} in column ${column}: ${difference}`);
      }
    }
    assert.equal(html.match(/off \(shown: /g)?.length, AUGMENTATION_KINDS.length);
  }));

Deno.test("augmentationGrid() ends with what training sees, where any augmentation is on", () =>
  inFolder(async (folder) => {
    const items = await putItems(folder);
    const augmentation = { ...OFF, symmetries: true, stain: 0.3, cutOut: 0.3 };
    const { html } = await augmentationGrid(items, { ...decode, augmentation, seed: 7 });
    const rows = await picturesOf(html);
    assert.equal(rows.length, 1 + AUGMENTATION_KINDS.length + 2);
    for (const view of [1, 2]) {
      for (const [column, index] of [0, 5, 1, 2].entries()) {
        const { pixels } = await decodeImage(items[index]!.path, decode);
        const random = viewRandom(7, view, items[index]!.sha256);
        const seen = await augment(pixels, decode.size, augmentation, random);
        const shown = rows[AUGMENTATION_KINDS.length + view]![column]!;
        assert.ok(meanDifference(shown, seen) < 3, `view ${view} of image ${index}`);
      }
    }
    assert.match(html, /stain<\/b>: ± 30 %, haematoxylin and PAS/);
    assert.match(html, /rotation<\/b>: off \(shown: ± 15°\)/);
  }));

Deno.test("describeAugmentations() judges every augmentation at the strength that is set", () => {
  const at = (augmentation: Augmentation) =>
    Object.fromEntries(describeAugmentations(augmentation).map((n) => [n.augmentation, n]));
  const fields = Object.keys(OFF).filter((name) => name !== "stains");
  assert.deepEqual(Object.keys(at(OFF)).sort(), fields.sort());
  for (const { setting, safe, why } of Object.values(at(OFF))) {
    assert.match(setting, /^off \(shown: /);
    assert.ok(safe !== "no" && why.length > 20);
  }
  const safety = (change: Partial<Augmentation>) => {
    const [name] = Object.keys(change);
    return at({ ...OFF, ...change })[name!]!.safe;
  };
  assert.deepEqual([0.2, 0.3, 0.5].map((stain) => safety({ stain })), ["yes", "with care", "no"]);
  assert.deepEqual([0.5, 3].map((blur) => safety({ blur })), ["with care", "no"]);
  assert.deepEqual([90, 20].map((jpegQuality) => safety({ jpegQuality })), ["with care", "no"]);
  assert.equal(safety({ symmetries: true }), "yes");
  const on = Object.values(at(SHOWN_WHEN_OFF));
  assert.ok(on.every(({ setting }) => !setting.startsWith("off")) && on.length === fields.length);
});

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
