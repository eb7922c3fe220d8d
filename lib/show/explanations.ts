import { basename } from "node:path";
import sharp from "sharp";
import { images } from "../core/words.ts";
import type { ExplainedReview } from "../evaluation/queue.ts";
import type { ExplainedImage, ExplainedPrediction } from "../metrics/explain.ts";
import { type HeatMap, resizeMap } from "../metrics/grad_cam.ts";
import type { ExampleGroup } from "../metrics/test.ts";
import {
  card,
  classLabel,
  colors,
  CONTENT_WIDTH,
  type Figure,
  GAP,
  type Panel,
  shorten,
} from "./card.ts";
import { escapeHtml, printable } from "./display.ts";

/**
 * A group of test images, each beside itself with the evidence for the model's answer laid over it:
 * what is bright spoke for the answer. Pictures are as the model saw them.
 *
 * @param group From `explainRun`.
 * @param options `positive`: folder name of the class whose probability is given.
 */
export async function explanationGrid(
  group: ExampleGroup<ExplainedPrediction>,
  { run, positive }: { run: string; positive: string },
): Promise<Figure> {
  const { examples, of } = group;
  const tiles = await Promise.all(examples.map(explainedTile));
  const noun = group.kind === "mistakes" ? "mistake" : "such image";
  return card({
    title: titleOf(group),
    subtitle: `Run ${run} · ${examples.length} of n = ${images(of)}`,
    rows: explanationRows(tiles),
    note: tiles.length === 0
      ? `There is no ${noun} among the test images.`
      : `p: probability of “${classLabel(positive)}”. ${MAPS_DIFFER}`,
  });
}

function titleOf({ kind, label }: ExampleGroup<unknown>): string {
  if (kind === "mistakes") return "Why: the most confident mistakes";
  if (kind === "uncertain") return "Why: the least certain of the others";
  return `Why: typical “${classLabel(label ?? "")}”, classified rightly`;
}

/** A picture, its map, and what is known of it in three lines. */
async function explainedTile(example: ExplainedPrediction): Promise<Panel> {
  const { path, label, predicted, probability, image } = example;
  const { map, explained } = image;
  const evidence = map.isZero ? ` · no evidence for “${classLabel(explained)}” found` : "";
  return await explanationTile({ ...image, path }, [
    basename(path),
    `labelled ${classLabel(label)}`,
    `answered ${classLabel(predicted)}, p = ${probability.toFixed(3)}${evidence}`,
  ]);
}

const COLUMNS = 2;

const TILE_WIDTH = (CONTENT_WIDTH - (COLUMNS - 1) * GAP) / COLUMNS;

const BETWEEN = 4;

// a picture and its overlay
const PICTURE = Math.floor((TILE_WIDTH - GAP - BETWEEN) / 2);

const LINE = 14;

/** Said under every grid of such tiles. */
const MAPS_DIFFER = "Each map reaches from 0 to its own maximum: the colours of two images " +
  "cannot be compared.";

/** Tiles in rows of two below a scale of their colours; no rows of no tiles. */
function explanationRows(tiles: readonly Panel[]): Panel[][] {
  if (tiles.length === 0) return [];
  const rows = Array.from(
    { length: Math.ceil(tiles.length / COLUMNS) },
    (_, row) => tiles.slice(row * COLUMNS, (row + 1) * COLUMNS),
  );
  return [[colourBar()], ...rows];
}

/**
 * A picture as the model saw it, beside itself with its map laid over it, and lines of text below.
 *
 * @param lines Of any text; each is shortened to the tile, the first one is bold.
 */
async function explanationTile(
  { path, pixels, size, map }: Pick<ExplainedImage, "path" | "pixels" | "size" | "map">,
  lines: readonly string[],
): Promise<Panel> {
  const plain = await picture(pixels, size, 0, path);
  const overlay = await picture(heatOverlay(pixels, size, map), size, PICTURE + BETWEEN, path);
  const texts = lines.map((text, i) =>
    `<text y="${PICTURE + 13 + i * LINE}" font-size="11" fill="${colors.ink}"` +
    `${i === 0 ? ' font-weight="bold"' : ""}>${
      escapeHtml(shorten(printable(text), TILE_WIDTH - GAP, 11))
    }</text>`
  );
  return {
    markup: plain + overlay + texts.join(""),
    width: TILE_WIDTH,
    height: PICTURE + lines.length * LINE + 8,
  };
}

async function picture(
  pixels: Uint8Array,
  size: number,
  x: number,
  path: string,
): Promise<string> {
  const jpeg = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality: 90, chromaSubsampling: "4:4:4" }).toBuffer();
  return `<image x="${x}" width="${PICTURE}" height="${PICTURE}" ` +
    `href="data:image/jpeg;base64,${new Uint8Array(jpeg).toBase64()}">` +
    `<title>${escapeHtml(basename(path))}</title></image>`;
}

/** What the colours mean. */
function colourBar(): Panel {
  const stops = Array.from({ length: 17 }, (_, i) => {
    const color = `rgb(${heatColor(i / 16).join()})`;
    return `<stop offset="${i / 16}" stop-color="${color}"/>`;
  });
  const [from, to] = ["none", "strongest evidence for the model's answer"];
  const text = (x: number, words: string) =>
    `<text x="${x}" y="12" font-size="12" fill="${colors.ink}">${words}</text>`;
  return {
    markup: `<linearGradient id="heat">${stops.join("")}</linearGradient>${text(0, from)}` +
      `<rect x="36" y="2" width="150" height="12" fill="url(#heat)"/>${text(193, to)}`,
    width: CONTENT_WIDTH,
    height: 16,
  };
}

/**
 * The images that need a person's look most, each beside itself with the evidence for the model's
 * answer laid over it, and with its flags. Pictures are as the model saw them.
 *
 * @param examples From `explainReview`, in the order of the queue.
 * @param options `positive`: folder name of the class whose probability is given. `of`: how many
 * images are to be reviewed.
 */
export async function reviewGrid(
  examples: readonly ExplainedReview[],
  { run, positive, of }: { run: string; positive: string; of: number },
): Promise<Figure> {
  const tiles = await Promise.all(examples.map(reviewTile));
  return card({
    title: "To be looked at first",
    subtitle: `Run ${run} · ${examples.length} of n = ${images(of)} to be reviewed`,
    rows: explanationRows(tiles),
    note: tiles.length === 0
      ? "No image needs a review."
      : `p: probability of “${classLabel(positive)}”. ${MAPS_DIFFER}`,
  });
}

async function reviewTile(example: ExplainedReview): Promise<Panel> {
  const { name, predicted, probability, flags, image } = example;
  const evidence = image.map.isZero ? " · no evidence for it found" : "";
  return await explanationTile(image, [
    name,
    `answered ${classLabel(predicted)}, p = ${probability.toFixed(3)}${evidence}`,
    flags.length === 0 ? "uncertain" : flags.map((flag) => flag.replaceAll("_", " ")).join(", "),
  ]);
}

/** Steps of the colour map: as many as a byte has. */
const STEPS = 256;

/** Lightness, hue in degrees and chroma (OKLCH) at 0 and at 1. */
const DARK = { lightness: 0.28, hue: 295, chroma: 0.13 };

const BRIGHT = { lightness: 0.93, hue: 105, chroma: 0.19 };

/** Chroma half-way: no screen shows a stronger blue-green of this lightness. */
const MIDDLE_CHROMA = 0.09;

/**
 * Colours of heat maps, from dark violet over blue-green to bright yellow, in sRGB: [256, 3]. Equal
 * steps of the value are equal steps of lightness, so that the order is seen with every colour
 * blindness and in grey print; and no colour is like the pink of PAS or H&E. Computed in OKLCH
 * (Ottosson, "A perceptual color space for image processing", 2020).
 */
const heatColors: readonly (readonly [number, number, number])[] = Array.from(
  { length: STEPS },
  (_, i) => {
    const t = i / (STEPS - 1);
    const between = (a: number, b: number) => a + (b - a) * t;
    const ends = between(DARK.chroma, BRIGHT.chroma);
    const chroma = MIDDLE_CHROMA + (ends - MIDDLE_CHROMA) * (2 * t - 1) ** 2;
    return oklchToRgb(
      between(DARK.lightness, BRIGHT.lightness),
      chroma,
      between(DARK.hue, BRIGHT.hue),
    );
  },
);

/** The colour of a value from 0 to 1. */
export function heatColor(value: number): readonly [number, number, number] {
  return heatColors[Math.round(Math.max(0, Math.min(1, value)) * (STEPS - 1))]!;
}

/** 8-bit sRGB; what is out of the screen's range is cut off. */
function oklchToRgb(lightness: number, chroma: number, hue: number): [number, number, number] {
  const angle = hue * Math.PI / 180;
  const [a, b] = [chroma * Math.cos(angle), chroma * Math.sin(angle)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    toByte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    toByte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    toByte(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** Linear light, 0 to 1, as an sRGB byte. */
function toByte(linear: number): number {
  const light = Math.max(0, Math.min(1, linear));
  const encoded = light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055;
  return Math.round(255 * encoded);
}

/** How much of a picture a heat map covers: as little where there is no evidence as helps to see. */
const [LEAST, MOST] = [0.25, 0.65];

/**
 * A heat map over the picture it explains, the stronger the more it covers. A map that is zero
 * everywhere leaves the picture as it is.
 *
 * @param pixels RGB, row-major [size, size, 3].
 * @returns As `pixels`.
 */
export function heatOverlay(pixels: Uint8Array, size: number, map: HeatMap): Uint8Array {
  if (map.isZero) return pixels.slice();
  const heat = resizeMap(map, size, size);
  return pixels.map((value, i) => {
    const strength = heat[Math.floor(i / 3)]!;
    const share = LEAST + (MOST - LEAST) * strength;
    return Math.round((1 - share) * value + share * heatColor(strength)[i % 3]!);
  });
}
