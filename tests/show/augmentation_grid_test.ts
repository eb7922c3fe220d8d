import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { parseConfig } from "../../lib/core/config.ts";
import type { Augmentation } from "../../lib/core/settings.ts";
import { augment } from "../../lib/images/augment.ts";
import { decodeImage } from "../../lib/images/decode.ts";
import {
  AUGMENTATION_KINDS,
  describeAugmentations,
  SHOWN_WHEN_OFF,
  viewRandom,
} from "../../lib/images/views.ts";
import { augmentationGrid } from "../../lib/show/pictures.ts";
import { inFolder, picture } from "../data/test_images.ts";

const OFF = parseConfig({}).training.augmentation;

const decode = { size: 48, resize: "squash" as const, maxMegapixels: 1 };

/** The pictures of a grid, by row: [row][column] pixels. */
async function pictures(html: string): Promise<Uint8Array[][]> {
  return await Promise.all(
    html.split("<tr").slice(1).map((row) =>
      Promise.all(
        [...row.matchAll(/base64,([^"]+)"/g)].map(async ([, encoded]) =>
          new Uint8Array(await sharp(Uint8Array.fromBase64(encoded!)).raw().toBuffer())
        ),
      )
    ),
  );
}

const meanDifference = (a: Uint8Array, b: Uint8Array) =>
  a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;

/** Images of which the last alone is positive, as a rare class would be. */
async function putItems(folder: string) {
  const items = [];
  for (let i = 0; i < 6; i++) {
    const path = join(folder, `${i}.png`);
    await picture(i, 60, 60).png().toFile(path);
    items.push({ path, label: i === 5 ? 1 : 0 });
  }
  return items;
}

Deno.test("augmentationGrid() shows each alone beside the images as they are, of every class", () =>
  inFolder(async (folder) => {
    const items = await putItems(folder);
    const { html } = await augmentationGrid(items, { ...decode, augmentation: OFF, seed: 1 });
    const rows = await pictures(html);
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
    const rows = await pictures(html);
    assert.equal(rows.length, 1 + AUGMENTATION_KINDS.length + 2);
    for (const view of [1, 2]) {
      for (const [column, index] of [0, 5, 1, 2].entries()) {
        const { pixels } = await decodeImage(items[index]!.path, decode);
        const seen = await augment(pixels, decode.size, augmentation, viewRandom(7, view, index));
        const shown = rows[AUGMENTATION_KINDS.length + view]![column]!;
        assert.ok(meanDifference(shown, seen) < 3, `view ${view} of image ${index}`);
      }
    }
    assert.match(html, /stain<\/b>: ± 30 %, haematoxylin and PAS/);
    assert.match(html, /rotation<\/b>: off \(shown: ± 15°\)/);
  }));

Deno.test("describeAugmentations() judges every augmentation at the strength that is set", () => {
  const at = (augmentation: Augmentation) =>
    Object.fromEntries(
      describeAugmentations(augmentation).map((note) => [note.augmentation, note]),
    );
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
  const on = at(SHOWN_WHEN_OFF);
  assert.deepEqual(
    Object.values(on).map(({ setting }) => setting.startsWith("off")),
    fields.map(() => false),
  );
});
