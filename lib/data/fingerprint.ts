import type { OpenedImage } from "./open_image.ts";

const COLUMNS = 9;
const ROWS = 8;
const CELL = 4;
/** Side of a thumbnail: 9 cells of 4 pixels. Square, so that a quarter turn fits onto it. */
export const THUMBNAIL_SIDE = COLUMNS * CELL;

/** What an image looks like, in little space. */
export interface Fingerprint {
  /** 64-bit difference hash, 16 hexadecimal digits. */
  dhash: string;
  /** Grey thumbnail, row-major [36, 36], 0 to 255. */
  thumbnail: Uint8Array;
}

/**
 * The fingerprint of an image. It decodes all picture data, so a file that is cut short is found.
 *
 * @throws {ImageError} When the picture data are damaged.
 */
export async function fingerprint(image: OpenedImage): Promise<Fingerprint> {
  const rgb = await image.toRgb(THUMBNAIL_SIDE, THUMBNAIL_SIDE); // [36, 36, 3]
  const thumbnail = new Uint8Array(THUMBNAIL_SIDE ** 2);
  for (let i = 0; i < thumbnail.length; i++) {
    // luma of ITU-R BT.601, as JPEG's and Pillow's grey
    thumbnail[i] = Math.round(
      0.299 * rgb[3 * i]! + 0.587 * rgb[3 * i + 1]! + 0.114 * rgb[3 * i + 2]!,
    );
  }
  return { dhash: differenceHash(thumbnail), thumbnail };
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
