import { range } from "d3-array";
import { basename, join } from "node:path";
import pMap from "p-map";
import sharp from "sharp";
import type { Augmentation } from "../core/settings.ts";
import { images } from "../core/words.ts";
import { applyChanges, augment } from "../images/augment.ts";
import { decodeImage, type DecodeOptions } from "../images/decode.ts";
import {
  AUGMENTATION_KINDS,
  type AugmentationNote,
  describeAugmentations,
  isAugmented,
  shownSettings,
  strongestChanges,
  viewRandom,
} from "../images/views.ts";
import type { Model } from "../model/model.ts";
import { createPredictor, predictImages, type PredictOptions } from "../model/predict.ts";
import {
  auditCounts,
  type AuditPolicies,
  type Finding,
  type FindingKind,
} from "../run/findings.ts";
import type { LabelledFile } from "../run/split_file.ts";
import { counted } from "./card.ts";
import { type Displayable, escapeHtml, htmlDisplay } from "./display.ts";

/** A picture of a grid; its path is absolute. */
type GridItem = { path: string; caption: string };

/** Tiles of a page, with more of which it is slow to open, and pictures decoded at once. */
const [MAX_TILES, IN_FLIGHT] = [100, 4];

/**
 * Small copies of images in a grid, embedded in the page, each with its caption. An image that
 * cannot be read becomes a tile that says so. Of more than 100 images the first 100 are shown, and
 * the grid says so.
 *
 * @param options `title` above the grid; `columns` 5 when left out.
 */
export async function imageGrid(
  items: readonly GridItem[],
  { title = "", columns = 5 }: { title?: string; columns?: number } = {},
): Promise<Displayable> {
  const tiles = await pMap(items.slice(0, MAX_TILES), imageTile, { concurrency: IN_FLIGHT });
  const more = items.length - tiles.length;
  const html = cellGrid(tiles, title, columns, "border-collapse:collapse", more);
  return htmlDisplay(html, `${title || "Images"}: ${items.length} images`);
}

/** A table of cells: the one layout that every notebook host and mail program keeps. */
function cellGrid(
  cells: string[],
  title: string,
  columns: number,
  style: string,
  more = 0,
): string {
  const heading = `<div style="font-weight:bold;margin:6px 0">${escapeHtml(title)}</div>`;
  const rows = inRows(cells, columns)
    .map((row) => `<tr style="background:transparent">${row.join("")}</tr>`);
  return `<div>${title && heading}<table style="${style}"><tbody>${rows.join("")}</tbody></table>` +
    `${more > 0 ? `<div>… and ${more} more images</div>` : ""}</div>`;
}

/** Items, so many a row. */
export function inRows<T>(items: readonly T[], columns: number): T[][] {
  return items.flatMap((_, i) => i % columns === 0 ? [items.slice(i, i + columns)] : []);
}

const TILE = 140;

async function imageTile({ path, caption }: GridItem): Promise<string> {
  const picture = await thumbnail(path);
  const shown = picture
    ? `<img src="${picture.source}" width="${picture.width}" height="${picture.height}" ` +
      `alt="${escapeHtml(basename(path))}">`
    : `<div style="width:${TILE}px;height:${TILE}px;border:1px dashed rgba(128,128,128,0.8);` +
      `text-align:center;line-height:${TILE}px">cannot be read</div>`;
  return `<td style="padding:4px;vertical-align:top;text-align:left;width:${TILE}px">${shown}` +
    `<div style="width:${TILE}px;font-size:11px;line-height:1.3;overflow-wrap:anywhere">` +
    `${escapeHtml(caption)}</div></td>`;
}

/**
 * A small copy of an image, on white, for a page: at most 140 CSS pixels on a side, each of two
 * image pixels, for sharp screens and print.
 *
 * @param path Absolute.
 * @returns Its `data:` address and size; `null` when it cannot be read.
 */
export async function thumbnail(path: string) {
  try {
    const { data, info } = await sharp(path, { limitInputPixels: 100e6, failOn: "error" })
      .autoOrient()
      .resize(2 * TILE, 2 * TILE, { fit: "inside" })
      .flatten({ background: "#ffffff" })
      .toColorspace("srgb")
      .jpeg({ quality: 80 })
      .toBuffer({ resolveWithObject: true });
    const scale = TILE / Math.max(info.width, info.height);
    return {
      source: dataUrl(data),
      width: Math.round(info.width * scale),
      height: Math.round(info.height * scale),
    };
  } catch {
    return null;
  }
}

/**
 * Pixels as the `data:` address of a JPEG.
 *
 * @param pixels RGB, row-major [size, size, 3].
 */
export async function jpegSource(pixels: Uint8Array, size: number): Promise<string> {
  const jpeg = sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality: 90, chromaSubsampling: "4:4:4" });
  return dataUrl(await jpeg.toBuffer());
}

function dataUrl(jpeg: Uint8Array): string {
  return `data:image/jpeg;base64,${new Uint8Array(jpeg).toBase64()}`;
}

/**
 * Images with the probability of the positive class that a model gives them, as a grid.
 *
 * @param paths Absolute.
 * @param options `title` above the grid; the others as `decodeImage` takes them.
 */
export async function predictionGrid(
  model: Model,
  paths: readonly string[],
  { title, ...decode }: { title: string } & Omit<PredictOptions, "batchSize">,
): Promise<Displayable> {
  const predictor = createPredictor(model);
  try {
    const options = { ...decode, batchSize: paths.length };
    const tiles = await Array.fromAsync(predictImages(predictor, paths, options), (result) => ({
      path: result.path,
      caption: "error" in result
        ? result.error.reason
        : `probability ${result.probabilities.at(-1)!.toFixed(3)}`,
    }));
    return await imageGrid(tiles, { title });
  } finally {
    predictor.dispose();
  }
}

/** The findings that are not pictures: files that cannot be shown, or that concern no image. */
export function withoutPicture(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ finding }) => NO_PICTURE.has(finding));
}

/** Kinds of which there is nothing to see, or that the person decided. */
const NO_PICTURE: ReadonlySet<FindingKind> = new Set(
  ["unreadable", "left_out_by_labels", "case_collision", "skipped"] as const,
);

/** Of each kind so many pictures are shown, taken evenly from the first to the last. */
const [MOST_IMAGES, MOST_PAIRS] = [10, 6];

/**
 * What the audit found, as pictures: a strip for each kind of finding about one image, with the
 * measured values, and pairs side by side where two images show the same. Kinds whose policy is
 * `keep` are left to audit.csv.
 *
 * @param folder Absolute path of the data folder.
 * @param findings All of them; of each kind a few are shown.
 * @param audit `config.data.audit`.
 * @returns One a kind, in the order of the policies' table.
 */
export async function auditPictures(
  { folder, findings, audit }: {
    folder: string;
    findings: readonly Finding[];
    audit: AuditPolicies;
  },
): Promise<Displayable[]> {
  const figures: Displayable[] = [];
  for (const { finding: kind, meaning, policy } of auditCounts(findings, audit)) {
    if (policy === "keep" || NO_PICTURE.has(kind)) continue;
    const all = findings.filter(({ finding }) => finding === kind);
    const arePairs = all.every(({ other_path }) => other_path !== "");
    const own = arePairs ? eachPairOnce(all) : all;
    const shown = evenly(own, arePairs ? MOST_PAIRS : MOST_IMAGES);
    const count = arePairs ? counted(own.length, "pair") : images(own.length);
    const title = `${kind.replaceAll("_", " ")} · ${meaning} · ` +
      `${policy === "drop" ? "left out" : "used"} · ${count}` +
      (shown.length < own.length ? `, ${shown.length} shown` : "");
    const tiles = shown.map(({ path, detail }) => ({
      path: join(folder, path),
      caption: `${detail} ${path}`,
    }));
    figures.push(await (arePairs ? pairGrid(folder, shown, title) : imageGrid(tiles, { title })));
  }
  return figures;
}

/** Small copies of images, two by two in frames, each pair with its note. */
async function pairGrid(folder: string, findings: readonly Finding[], title: string) {
  const cells = await pMap(findings, async ({ path, other_path, detail }) => {
    const tiles = [path, other_path]
      .map((path) => imageTile({ path: join(folder, path), caption: path }));
    return '<td style="border:1px solid rgba(128,128,128,0.5);border-radius:6px;padding:4px;' +
      'vertical-align:top;text-align:left">' +
      '<table style="border-collapse:collapse;margin:0"><tbody><tr style="background:transparent">' +
      `${(await Promise.all(tiles)).join("")}</tr></tbody></table>` +
      `<div style="max-width:300px;font-size:11px;line-height:1.3;margin:4px;` +
      `overflow-wrap:anywhere">${escapeHtml(detail)}</div></td>`;
  }, { concurrency: IN_FLIGHT / 2 });
  const style = "border-collapse:separate;border-spacing:8px";
  return htmlDisplay(cellGrid(cells, title, 2, style), title);
}

function eachPairOnce(findings: readonly Finding[]): Finding[] {
  const pairOf = ({ path, other_path }: Finding) => JSON.stringify([path, other_path].sort());
  return [...Map.groupBy(findings, pairOf).values()].map(([first]) => first!);
}

function evenly<T>(items: readonly T[], most: number): T[] {
  const count = Math.min(items.length, most);
  return range(count).map((i) => items[Math.floor(i * items.length / count)]!);
}

/**
 * Training images before and after: a row for each augmentation alone at its full strength, with
 * whether it is safe for this tissue and why, then two views with all that are on, as training sees
 * them. Where an augmentation is off, a usual strength is shown and the row says so.
 *
 * @param items The training images; four of them, of different classes, are shown.
 * @param options `augmentation` and `seed` of the config, and how images are decoded.
 * @throws {ImageError} Naming an image that cannot be read.
 */
export async function augmentationGrid(
  items: readonly LabelledFile[],
  { augmentation, seed, ...decode }: DecodeOptions & { augmentation: Augmentation; seed: number },
): Promise<Displayable> {
  const { size } = decode;
  const indices = chosen(items.map(({ label }) => label));
  const originals = await Promise.all(
    indices.map(async (index) => (await decodeImage(items[index]!.path, decode)).pixels),
  );
  const rows: string[] = [];
  const addRow = async (
    note: Partial<AugmentationNote>,
    change: (pixels: Uint8Array, column: number) => Uint8Array | Promise<Uint8Array>,
  ) => {
    const pictures = originals.map(async (pixels, column) => {
      const source = await jpegSource(await change(pixels, column), size);
      return `<img src="${source}" width="108" height="108" alt="" ` +
        `style="display:inline-block;margin:0 2px;max-width:none">`;
    });
    rows.push(noteRow(note, await Promise.all(pictures)));
  };
  await addRow({ augmentation: "as they are" }, (pixels) => pixels);
  const notes = describeAugmentations(augmentation);
  for (const [i, kind] of AUGMENTATION_KINDS.entries()) {
    const shown = shownSettings(kind, augmentation);
    await addRow(
      notes[i]!,
      (pixels, column) => applyChanges(pixels, size, strongestChanges(kind.name, shown, column)),
    );
  }
  for (const view of isAugmented(augmentation) ? [1, 2] : []) {
    await addRow(
      { augmentation: `all that are on, epoch ${view}` },
      (pixels, column) => {
        const index = indices[column]!;
        const random = viewRandom(seed, view, items[index]!.sha256 ?? index);
        return augment(pixels, size, augmentation, random);
      },
    );
  }
  const html = `<div style="max-width:800px">Each augmentation alone at its full strength, one ` +
    `direction in the first picture and the other in the next.` +
    `<table style="border-collapse:collapse"><tbody>${rows.join("")}</tbody></table></div>`;
  return htmlDisplay(html, `Augmentations of ${indices.length} training images`);
}

function chosen(labels: readonly number[]): number[] {
  const classes = [...new Set(labels)].sort((a, b) => a - b)
    .map((label) => [...labels.keys()].filter((index) => labels[index] === label));
  return range(4).flatMap((turn) => classes.flatMap((of) => of[turn] ?? [])).slice(0, 4);
}

function noteRow(
  { augmentation = "", setting, safe, why = "" }: Partial<AugmentationNote>,
  pictures: readonly string[],
): string {
  const judged = setting ? `: ${escapeHtml(setting)} · safe: <b>${safe}</b>` : "";
  const style = "vertical-align:top;border-bottom:1px solid rgba(128,128,128,0.3)";
  return `<tr style="background:transparent"><td style="${style};padding:3px 12px 3px 0;` +
    `text-align:left;width:320px;white-space:normal"><b>${escapeHtml(augmentation)}</b>` +
    `${judged}<div style="font-size:11px;line-height:1.3">${escapeHtml(why)}</div></td>` +
    `<td style="${style};white-space:nowrap;padding:2px">${pictures.join("")}</td></tr>`;
}
