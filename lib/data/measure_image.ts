/** A small RGB copy of an image, for everything that the audit measures. */
export interface Preview {
  width: number;
  height: number;
  /** 8-bit sRGB over white, row-major [height, width, 3]. */
  rgb: Uint8Array;
  /** Share of the pixels that are more transparent than opaque, 0 to 1. */
  hidden: number;
}

/** What the audit measures on an image's {@linkcode Preview}. Grey values are luma, 0 to 255. */
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

/** Measures a preview; a few passes over its pixels. */
export function measureImage({ width, height, rgb }: Preview): Measures {
  const luma = new Float32Array(width * height); // [height, width]
  const greys = new Uint32Array(256);
  const colours = new Uint32Array(256);
  let [sum, squares] = [0, 0];
  for (let i = 0, at = 0; i < luma.length; i++, at += 3) {
    const [r, g, b] = [rgb[at]!, rgb[at + 1]!, rgb[at + 2]!];
    // luma of ITU-R BT.601, as JPEG's and Pillow's grey
    const grey = 0.299 * r + 0.587 * g + 0.114 * b;
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

/** The smallest value that at least this share of a histogram does not exceed. */
export function quantile(histogram: Uint32Array, share: number): number {
  let left = share * histogram.reduce((sum, count) => sum + count, 0);
  return Math.max(0, histogram.findIndex((count) => (left -= count) <= 0));
}

const REACH = 4;
const MIN_SIDE = 16;

/**
 * Blur effect (Crété, Dolmiere, Ladret & Nicolas, 2007): how little the differences between
 * neighbours change when the image is blurred once more by a mean of nine pixels. It compares an
 * image with itself, so smooth content and weak stain count far less than in the variance of a
 * Laplacian.
 *
 * @param luma Row-major [height, width].
 * @param every Looks along every so manieth row and column alone, for speed.
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

/** Pixels of an empty line lie within so many grey levels of the edge's own grey … */
const SAME_GREY = 10;
/** … but for this share: specks of dust. */
const SPECKS = 0.02;

/**
 * Share of an image's area in borders without structure: lines, from each edge inwards, that are all
 * of about the grey of that edge (glass, letterbox bars, what a scanner did not scan).
 *
 * @param luma Row-major [height, width].
 */
export function emptyMargin(luma: Float32Array, width: number, height: number): number {
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
