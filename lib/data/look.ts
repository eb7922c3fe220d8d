import sharp from "sharp";
import { type OpenedImage, openImage } from "./open_image.ts";

/** What is learnt about an image from its content alone, whatever its name and place. */
export interface Look extends Omit<OpenedImage, "toRgb" | "toRgba"> {
  /** Transparent pixels lie over a part of the picture. */
  hidesTissue: boolean;
  measures: Measures;
  fingerprint: Fingerprint;
}

/**
 * Looks at an image: decodes it to a small copy, and makes everything that the audit needs of that.
 *
 * @param bytes The file's content.
 * @param path Names the file in errors.
 * @param maxMegapixels Larger images are refused.
 * @throws {ImageError} When it is empty, no image, damaged, or too large or small.
 */
export async function lookAt(
  bytes: Uint8Array,
  path: string,
  maxMegapixels: number,
): Promise<Look> {
  const image = await openImage(bytes, path, maxMegapixels);
  const preview = await makePreview(image);
  const { toRgb: _, toRgba: __, ...header } = image;
  return {
    ...header,
    hidesTissue: await hidesTissue(image, preview),
    measures: measure(preview),
    fingerprint: await fingerprintOf(preview),
  };
}

/** A small RGB copy of an image, for everything that the audit measures. */
type Preview = Awaited<ReturnType<typeof makePreview>>;

/** Longer side of a preview in pixels, about the detail that a model sees; none is shrunk below LEAST. */
const [SIDE, LEAST] = [256, 64];

/** Pixels with less alpha than this, of 255, are hidden. */
const HIDDEN = 128;

/**
 * Decodes an image to at most 256 pixels a side, and never larger than it is. All picture data are
 * decoded, so a file that is cut short is found.
 *
 * @returns `rgb`: 8-bit sRGB over white, row-major [height, width, 3]; `hidden`: share of the pixels
 *   that are more transparent than opaque, 0 to 1.
 */
export async function makePreview(image: OpenedImage) {
  const scale = Math.min(1, SIDE / Math.max(image.width, image.height));
  const shrink = (side: number) => Math.max(Math.round(side * scale), Math.min(side, LEAST));
  const [width, height] = [shrink(image.width), shrink(image.height)];
  const rgba = await image.toRgba(width, height); // [height, width, 4]
  const rgb = new Uint8Array(width * height * 3); // [height, width, 3]
  let hidden = 0;
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    const alpha = rgba[from + 3]!;
    if (alpha < HIDDEN) hidden++;
    for (let channel = 0; channel < 3; channel++) {
      // white shows through, as in `toRgb`
      rgb[to++] = alpha === 255
        ? rgba[from + channel]!
        : Math.round((rgba[from + channel]! * alpha + 255 * (255 - alpha)) / 255);
    }
  }
  return { width, height, rgb, hidden: hidden / (width * height) };
}

/** Luma of ITU-R BT.601, as JPEG's and Pillow's grey, 0 to 255. */
function lumaOf(r: number, g: number, b: number): number {
  return 0.299 * r + 0.587 * g + 0.114 * b;
}

/** Images above this size, in pixels, are not searched: their decoded pixels take 100 MB. */
const MOST_SEARCHED = 25e6;

/** Least share of hidden pixels this far from the usual grey: one flat colour hides nothing. */
const [LEAST_SHARE, FLAT_GREY] = [0.01, 16];

/**
 * Whether transparent pixels hide a part of the picture, which the model then does not see either.
 * Of most transparent images the hidden colour is flat: the scanner recorded nothing there.
 *
 * Only images with transparent pixels are decoded again, at full size, since no smaller copy keeps
 * what is hidden.
 */
async function hidesTissue(image: OpenedImage, preview: Preview): Promise<boolean> {
  const pixels = image.width * image.height;
  if (preview.hidden < LEAST_SHARE || pixels > MOST_SEARCHED) return false;
  const rgba = await image.toRgba(image.width, image.height); // [height, width, 4]
  const greys = new Uint32Array(256); // of the hidden pixels
  for (let i = 0; i < rgba.length; i += 4) {
    if (rgba[i + 3]! >= HIDDEN) continue;
    greys[Math.round(lumaOf(rgba[i]!, rgba[i + 1]!, rgba[i + 2]!))]!++;
  }
  const usual = greys.indexOf(Math.max(...greys));
  const others = greys.filter((_, grey) => Math.abs(grey - usual) > FLAT_GREY);
  return others.reduce((sum, count) => sum + count, 0) >= LEAST_SHARE * pixels;
}

/** What the audit measures on an image of at most 256 pixels a side. Grey values are 0 to 255. */
export interface Measures {
  /** 5 % of the pixels are darker than this. */
  dark: number;
  /** 5 % of the pixels are brighter than this. */
  bright: number;
  /** Standard deviation of the grey values. */
  contrast: number;
  /** Blur effect, 0 (sharp) to 1; `null` below 16 pixels a side, or without any edge. */
  blur: number | null;
  /** Difference between a pixel's largest and smallest channel; 1 % of the pixels have more. */
  colour: number;
  /** Share of the area that lies in uniform borders, 0 to 1. */
  margin: number;
}

function measure({ width, height, rgb }: Preview): Measures {
  const luma = new Float32Array(width * height); // [height, width]
  const greys = new Uint32Array(256);
  const colours = new Uint32Array(256);
  let [sum, squares] = [0, 0];
  for (let i = 0, at = 0; i < luma.length; i++, at += 3) {
    const [r, g, b] = [rgb[at]!, rgb[at + 1]!, rgb[at + 2]!];
    const grey = lumaOf(r, g, b);
    luma[i] = grey;
    sum += grey;
    squares += grey * grey;
    greys[Math.round(grey)]!++;
    colours[Math.max(r, g, b) - Math.min(r, g, b)]!++;
  }
  const mean = sum / luma.length;
  return {
    dark: quantile(greys, 0.05),
    bright: quantile(greys, 0.95),
    contrast: Math.sqrt(Math.max(0, squares / luma.length - mean * mean)),
    blur: blurEffect(luma, width, height),
    colour: quantile(colours, 0.99),
    margin: emptyMargin(luma, width, height),
  };
}

/** The smallest value that at least this fraction of a histogram does not exceed. */
export function quantile(histogram: Uint32Array, share: number): number {
  let left = share * histogram.reduce((sum, count) => sum + count, 0);
  return Math.max(0, histogram.findIndex((count) => (left -= count) <= 0));
}

/** Half a window of nine pixels; the least side of an image. */
const [REACH, MIN_SIDE] = [4, 16];

/**
 * Blur effect (Crété, Dolmiere, Ladret & Nicolas, 2007): how little the differences between
 * neighbours change when the image is blurred once more by a mean of nine pixels. It compares an
 * image with itself, so smooth content and weak stain count far less than in the variance of a
 * Laplacian.
 *
 * @param luma Row-major [height, width].
 * @param every Uses only every nth row and column, for speed.
 * @returns The larger of the values along rows and columns, 0 to 1; `null` when the image is smaller
 *   than 16 pixels on a side or has no edge at all.
 */
export function blurEffect(
  luma: Float32Array,
  width: number,
  height: number,
  every = 1,
): number | null {
  if (Math.min(width, height) < MIN_SIDE) return null;
  const along = (step: number, length: number, across: number, lines: number): number => {
    let [kept, total] = [0, 0];
    for (let line = every >> 1; line < lines; line += every) {
      for (let i = REACH + 1; i < length - REACH; i++) {
        const at = line * across + i * step;
        const difference = Math.abs(luma[at]! - luma[at - step]!);
        // Means of nine pixels around neighbours differ by their two end pixels alone.
        const ends = luma[at + REACH * step]! - luma[at - (REACH + 1) * step]!;
        kept += Math.min(difference, Math.abs(ends) / (2 * REACH + 1));
        total += difference;
      }
    }
    return total === 0 ? 0 : kept / total;
  };
  const blur = Math.max(along(1, width, width, height), along(width, height, 1, width));
  return blur === 0 ? null : blur;
}

/** Pixels of an empty line lie so many grey levels from the edge's grey, but for a share of specks. */
const [SAME_GREY, SPECKS] = [10, 0.02];

/**
 * Fraction of an image's area in borders without structure: lines, from each edge inwards, whose
 * pixels all have about the grey of that edge (glass, letterbox bars, what was not scanned).
 *
 * @param luma Row-major [height, width].
 */
function emptyMargin(luma: Float32Array, width: number, height: number): number {
  const count = (start: number, inwards: number, lines: number, step: number, length: number) => {
    const edge = Array.from({ length }, (_, i) => luma[start + i * step]!).sort((a, b) => a - b);
    const grey = edge[length >> 1]!;
    const isEmpty = (line: number): boolean => {
      let others = 0;
      for (let i = 0; i < length; i++) {
        if (Math.abs(luma[start + line * inwards + i * step]! - grey) > SAME_GREY) others++;
      }
      return others <= SPECKS * length;
    };
    let empty = 0;
    while (empty < lines && isEmpty(empty)) empty++;
    return empty;
  };
  const top = count(0, width, height, 1, width);
  const bottom = count((height - 1) * width, -width, height, 1, width);
  const left = count(0, 1, width, width, height);
  const right = count(width - 1, -1, width, width, height);
  const kept = Math.max(0, width - left - right) * Math.max(0, height - top - bottom);
  return 1 - kept / (width * height);
}

/** What a difference hash compares: columns and rows of cells, of so many pixels a side. */
const [COLUMNS, ROWS, CELL] = [9, 8, 4];

/** Side of a thumbnail: 9 cells of 4 pixels. Square, so that a quarter turn fits onto it. */
export const THUMBNAIL_SIDE = COLUMNS * CELL;

/** What an image looks like, in little space. */
export interface Fingerprint {
  /** 64-bit difference hash, 16 hexadecimal digits. */
  dhash: string;
  /** Grey thumbnail, row-major [36, 36], 0 to 255, as base64: part of a line of JSON. */
  thumbnail: string;
}

async function fingerprintOf({ width, height, rgb }: Preview): Promise<Fingerprint> {
  const small = await sharp(rgb, { raw: { width, height, channels: 3 } })
    .resize(THUMBNAIL_SIDE, THUMBNAIL_SIDE, { fit: "fill", kernel: "linear" })
    .raw().toBuffer(); // [36, 36, 3]
  const thumbnail = new Uint8Array(THUMBNAIL_SIDE ** 2);
  for (let i = 0; i < thumbnail.length; i++) {
    thumbnail[i] = Math.round(lumaOf(small[3 * i]!, small[3 * i + 1]!, small[3 * i + 2]!));
  }
  return { dhash: differenceHash(thumbnail), thumbnail: thumbnail.toBase64() };
}

/**
 * Difference hash (Krawetz, 2013): a bit for each pair of horizontal neighbours among mean grey
 * values of 9 columns and the upper 8 of 9 rows, 1 where it gets brighter to the right. Scaling,
 * recompression and brightness hardly change it.
 *
 * @param thumbnail Grey, row-major [36, 36].
 * @returns 16 hexadecimal digits, row by row from the top.
 */
export function differenceHash(thumbnail: Uint8Array): string {
  let hash = "";
  for (let row = 0; row < ROWS; row++) {
    const sums = new Array<number>(COLUMNS).fill(0);
    for (let y = row * CELL; y < (row + 1) * CELL; y++) {
      for (let x = 0; x < THUMBNAIL_SIDE; x++) {
        sums[Math.floor(x / CELL)]! += thumbnail[y * THUMBNAIL_SIDE + x]!;
      }
    }
    let byte = 0;
    for (let i = 0; i + 1 < COLUMNS; i++) byte = byte << 1 | (sums[i + 1]! > sums[i]! ? 1 : 0);
    hash += byte.toString(16).padStart(2, "0");
  }
  return hash;
}

/** The eight symmetries of the square: the identity, three quarter turns, and the mirror images. */
export const SYMMETRIES = [
  "as it is",
  "turned by 90°",
  "turned by 180°",
  "turned by 270°",
  "mirrored",
  "mirrored and turned by 90°",
  "mirrored and turned by 180°",
  "mirrored and turned by 270°",
] as const;

/** Name of a symmetry. */
export type Symmetry = (typeof SYMMETRIES)[number];

/**
 * Each symmetry as a permutation of the pixels of a square image.
 *
 * @returns In the order of {@linkcode SYMMETRIES}: for every place of the changed image, row-major
 *   [side, side], the place in the original that its pixel comes from. "Mirrored" swaps left and
 *   right; turns are clockwise and come after it.
 * @example
 * ```ts
 * const turned = pixels.map((_, i) => pixels[symmetryIndices(side)[1][i]]);
 * ```
 */
export function symmetryIndices(side: number): Int32Array[] {
  return SYMMETRIES.map((_, symmetry) => {
    const indices = new Int32Array(side * side);
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        let [fromX, fromY] = [x, y];
        for (let turn = 0; turn < symmetry % 4; turn++) [fromX, fromY] = [fromY, side - 1 - fromX];
        if (symmetry >= 4) fromX = side - 1 - fromX;
        indices[y * side + x] = fromY * side + fromX;
      }
    }
    return indices;
  });
}
