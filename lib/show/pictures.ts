import { basename, join } from "node:path";
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
import { type Displayable, escapeHtml, htmlDisplay, tableRows } from "./display.ts";

const TILE = 140;

// pixels on the page
const DENSITY = 2;

// image pixels per page pixel, for sharp screens and print
const MAX_PIXELS = 100e6;

const MAX_TILES = 100;

// a page with more is slow to open
const IN_FLIGHT = 4;

/** A picture of a grid. */
interface GridItem {
  path: string;
  caption: string;
}

/**
 * Small copies of images in a grid, embedded in the page, each with its caption. An image that
 * cannot be read becomes a tile that says so. Of more than 100 images the first 100 are shown, and
 * the grid says so.
 *
 * @param options `title` above the grid; `columns` 5 when left out.
 */
export async function imageGrid(
  items: readonly GridItem[],
  { title, columns = 5 }: { title?: string; columns?: number } = {},
): Promise<Displayable> {
  const shown = items.slice(0, MAX_TILES);
  const tiles: string[] = [];
  for (let i = 0; i < shown.length; i += IN_FLIGHT) {
    tiles.push(...await Promise.all(shown.slice(i, i + IN_FLIGHT).map(imageTile)));
  }
  const heading = title
    ? `<div style="font-weight:bold;margin:6px 0">${escapeHtml(title)}</div>`
    : "";
  const more = items.length > shown.length
    ? `<div>… and ${items.length - shown.length} more images</div>`
    : "";
  const html = `<div>${heading}<table style="border-collapse:collapse"><tbody>` +
    `${tableRows(tiles, columns)}</tbody></table>${more}</div>`;
  return htmlDisplay(html, `${title ?? "Images"}: ${items.length} images`);
}

/** One picture with its caption as a table cell. */
async function imageTile({ path, caption }: GridItem): Promise<string> {
  const picture = await thumbnail(path);
  const box = `width:${TILE}px;height:${TILE}px`;
  const shown = picture
    ? `<img src="${picture.source}" width="${picture.width}" height="${picture.height}" ` +
      `alt="${escapeHtml(basename(path))}">`
    : `<div style="${box};border:1px dashed rgba(128,128,128,0.8);text-align:center;` +
      `line-height:${TILE}px">cannot be read</div>`;
  return `<td style="padding:4px;vertical-align:top;text-align:left;width:${TILE}px">${shown}` +
    `<div style="width:${TILE}px;font-size:11px;line-height:1.3;overflow-wrap:anywhere">` +
    `${escapeHtml(caption)}</div></td>`;
}

/**
 * A small copy of an image, on white, for a page: at most 140 CSS pixels on a side.
 *
 * @param path Absolute.
 * @returns `null` when it cannot be read.
 */
export async function thumbnail(
  path: string,
): Promise<{ source: string; width: number; height: number } | null> {
  try {
    const jpeg = await sharp(path, { limitInputPixels: MAX_PIXELS, failOn: "error" })
      .autoOrient()
      .resize(TILE * DENSITY, TILE * DENSITY, { fit: "inside" })
      .flatten({ background: "#ffffff" })
      .toColorspace("srgb")
      .jpeg({ quality: 80 })
      .toBuffer({ resolveWithObject: true });
    const { width, height } = jpeg.info;
    const scale = TILE / Math.max(width, height);
    return {
      source: `data:image/jpeg;base64,${new Uint8Array(jpeg.data).toBase64()}`,
      width: Math.round(width * scale),
      height: Math.round(height * scale),
    };
  } catch {
    return null;
  }
}

/** Two pictures to compare, and what is said about both. */
interface ImagePair {
  left: GridItem;
  right: GridItem;
  note: string;
}

/** Pairs beside each other on the page. */
const COLUMNS = 2;

/** Small copies of images, two by two in frames, each pair with its note. */
async function imagePairs(
  pairs: readonly ImagePair[],
  { title }: { title: string },
): Promise<Displayable> {
  const cells: string[] = [];
  for (const pair of pairs) cells.push(await drawPair(pair));
  const html = `<div><div style="font-weight:bold;margin:6px 0">${escapeHtml(title)}</div>` +
    '<table style="border-collapse:separate;border-spacing:8px"><tbody>' +
    `${tableRows(cells, COLUMNS)}</tbody></table></div>`;
  return htmlDisplay(html, title);
}

async function drawPair({ left, right, note }: ImagePair): Promise<string> {
  const tiles = await Promise.all([left, right].map(imageTile));
  return '<td style="border:1px solid rgba(128,128,128,0.5);border-radius:6px;padding:4px;' +
    'vertical-align:top;text-align:left"><table style="border-collapse:collapse;margin:0"><tbody>' +
    `<tr style="background:transparent">${tiles.join("")}</tr></tbody></table>` +
    `<div style="max-width:300px;font-size:11px;line-height:1.3;margin:4px;` +
    `overflow-wrap:anywhere">${escapeHtml(note)}</div></td>`;
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
    const tiles: GridItem[] = [];
    for await (const result of predictImages(predictor, paths, options)) {
      const caption = "error" in result
        ? result.error.reason
        : `probability ${result.probabilities.at(-1)!.toFixed(3)}`;
      tiles.push({ path: result.path, caption });
    }
    return await imageGrid(tiles, { title });
  } finally {
    predictor.dispose();
  }
}

/** Of each kind so many pictures are shown, taken evenly from the first to the last. */
const MOST_IMAGES = 10;

const MOST_PAIRS = 6;

/** Kinds of which there is nothing to see, or that the person decided. */
const NO_PICTURE: readonly FindingKind[] = [
  "unreadable",
  "left_out_by_labels",
  "case_collision",
  "skipped",
];

/** The findings that are not pictures: files that cannot be shown, or that concern no image. */
export function withoutPicture(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ finding }) => NO_PICTURE.includes(finding));
}

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
    if (policy === "keep" || NO_PICTURE.includes(kind)) continue;
    const own = findings.filter(({ finding }) => finding === kind);
    const use = policy === "drop" ? "left out" : "used";
    const head = `${kind.replaceAll("_", " ")} · ${meaning} · ${use}`;
    figures.push(
      own.every(({ other_path }) => other_path !== "")
        ? await drawPairs(folder, eachPairOnce(own), head)
        : await drawStrip(folder, own, head),
    );
  }
  return figures;
}

async function drawStrip(
  folder: string,
  findings: readonly Finding[],
  head: string,
): Promise<Displayable> {
  const shown = evenly(findings, MOST_IMAGES);
  const items = shown.map(({ path, detail }) => ({
    path: join(folder, path),
    caption: `${detail} ${path}`,
  }));
  const title = `${head} · ${images(findings.length)}${of(shown, findings)}`;
  return await imageGrid(items, { title });
}

async function drawPairs(
  folder: string,
  findings: readonly Finding[],
  head: string,
): Promise<Displayable> {
  const shown = evenly(findings, MOST_PAIRS);
  const pairs = shown.map(({ path, other_path, detail }) => ({
    left: { path: join(folder, path), caption: path },
    right: { path: join(folder, other_path), caption: other_path },
    note: detail,
  }));
  const count = `${findings.length} pair${findings.length === 1 ? "" : "s"}`;
  return await imagePairs(pairs, { title: `${head} · ${count}${of(shown, findings)}` });
}

function of(shown: readonly Finding[], all: readonly Finding[]): string {
  return shown.length < all.length ? `, ${shown.length} shown` : "";
}

/** Two images can be named in both directions. */
function eachPairOnce(findings: readonly Finding[]): Finding[] {
  const pairs = new Map(
    findings.toReversed().map((finding) => [
      JSON.stringify([finding.path, finding.other_path].sort()),
      finding,
    ]),
  );
  return [...pairs.values()].reverse();
}

function evenly<T>(items: readonly T[], most: number): T[] {
  const count = Math.min(items.length, most);
  return Array.from({ length: count }, (_, i) => items[Math.floor(i * items.length / count)]!);
}

const SMALL_TILE = 108;

// pixels on the page; the pictures have the model's input size
const VIEWS = 4;

/** What an augmentation grid shows. */
interface AugmentationGridOptions extends DecodeOptions {
  /** `config.training.augmentation`. */
  augmentation: Augmentation;
  /** `config.seed`: the last rows are what training with it sees. */
  seed: number;
}

/**
 * Training images before and after: a row for each augmentation alone at its full strength, with
 * whether it is safe for this tissue and why, then two views with all that are on, as training sees
 * them. Where an augmentation is off, a usual strength is shown and the row says so.
 *
 * @param items The training images; four of them, of different classes, are shown.
 * @throws {ImageError} Naming an image that cannot be read.
 */
export async function augmentationGrid(
  items: readonly LabelledFile[],
  { augmentation, seed, ...decode }: AugmentationGridOptions,
): Promise<Displayable> {
  const { size } = decode;
  const indices = chosen(items.map(({ label }) => label));
  const originals = await Promise.all(
    indices.map(async (index) => (await decodeImage(items[index]!.path, decode)).pixels),
  );
  const row = async (
    note: Partial<AugmentationNote>,
    change: (pixels: Uint8Array, column: number) => Uint8Array | Promise<Uint8Array>,
  ): Promise<string> =>
    tableRow(
      note,
      await Promise.all(
        originals.map(async (pixels, column) => await picture(await change(pixels, column), size)),
      ),
    );
  const rows = [await row({ augmentation: "as they are" }, (pixels) => pixels)];
  const notes = describeAugmentations(augmentation);
  for (const [i, kind] of AUGMENTATION_KINDS.entries()) {
    const shown = shownSettings(kind, augmentation);
    rows.push(
      await row(
        notes[i]!,
        (pixels, column) => applyChanges(pixels, size, strongestChanges(kind.name, shown, column)),
      ),
    );
  }
  for (const view of isAugmented(augmentation) ? [1, 2] : []) {
    rows.push(
      await row(
        { augmentation: `all that are on, epoch ${view}` },
        (pixels, column) =>
          augment(pixels, size, augmentation, viewRandom(seed, view, indices[column]!)),
      ),
    );
  }
  const html = `<div style="max-width:800px">Each augmentation alone at its full strength, one ` +
    `direction in the first picture and the other in the next.` +
    `<table style="border-collapse:collapse"><tbody>${rows.join("")}</tbody></table></div>`;
  return htmlDisplay(html, `Augmentations of ${indices.length} training images`);
}

/** Up to four images, the classes in turn, the first of each. */
function chosen(labels: readonly number[]): number[] {
  const classes = [...new Set(labels)].sort((a, b) => a - b)
    .map((label) => [...labels.keys()].filter((index) => labels[index] === label));
  return Array.from({ length: VIEWS }, (_, turn) => classes.flatMap((of) => of[turn] ?? []))
    .flat().slice(0, VIEWS);
}

async function picture(pixels: Uint8Array, size: number): Promise<string> {
  const jpeg = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality: 92, chromaSubsampling: "4:4:4" }).toBuffer();
  return `<img src="data:image/jpeg;base64,${
    new Uint8Array(jpeg).toBase64()
  }" width="${SMALL_TILE}" ` +
    `height="${SMALL_TILE}" alt="" style="display:inline-block;margin:0 2px;max-width:none">`;
}

function tableRow(note: Partial<AugmentationNote>, pictures: readonly string[]): string {
  const { augmentation, setting, safe, why } = note;
  const judged = setting && safe
    ? `: ${escapeHtml(setting)} · safe: <b>${escapeHtml(safe)}</b>`
    : "";
  const style = "vertical-align:top;border-bottom:1px solid rgba(128,128,128,0.3)";
  return `<tr style="background:transparent"><td style="${style};padding:3px 12px 3px 0;` +
    `text-align:left;width:320px;white-space:normal"><b>${escapeHtml(augmentation ?? "")}</b>` +
    `${judged}<div style="font-size:11px;line-height:1.3">${escapeHtml(why ?? "")}</div></td>` +
    `<td style="${style};white-space:nowrap;padding:2px">${pictures.join("")}</td></tr>`;
}
