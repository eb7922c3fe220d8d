import sharp from "sharp";
import type { Preview } from "./measure_image.ts";
import type { OpenedImage } from "./open_image.ts";

/** Longer side of a preview, in pixels: about the detail that a model sees. */
const SIDE = 256;
/** No side is shrunk below this: very long images would keep no detail across. */
const LEAST = 64;
/** Pixels with less alpha than this, of 255, are hidden. */
const HIDDEN = 128;

/**
 * Decodes an image once, to at most 256 pixels a side, and never larger than it is. All picture data
 * are decoded, so a file that is cut short is found.
 *
 * @throws {ImageError} When the picture data are damaged.
 */
export async function makePreview(image: OpenedImage): Promise<Preview> {
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

/** The same image decoded from its preview: what is made of it then costs no second decoding. */
export function asPreviewed(image: OpenedImage, { width, height, rgb }: Preview): OpenedImage {
  return {
    ...image,
    toRgb: async (toWidth, toHeight) =>
      await sharp(rgb, { raw: { width, height, channels: 3 } })
        .resize(toWidth, toHeight, { fit: "fill", kernel: "linear" }).raw().toBuffer(),
  };
}

/** Images above this size, in pixels, are not searched: their decoded pixels take 100 MB. */
const MOST_SEARCHED = 25e6;
/** Least share of the image that must be hidden and differ from the rest of what is hidden … */
const LEAST_SHARE = 0.01;
/** … by more than so many grey levels: one flat colour hides nothing. */
const SAME_GREY = 16;

/**
 * Whether transparent pixels hide a part of the picture, which the model then does not see either.
 * Of most transparent images the hidden colour is flat: the scanner recorded nothing there.
 *
 * @param preview Of the same image; only those with transparent pixels are decoded again, at full
 *   size, since no smaller copy keeps what is hidden.
 * @throws {ImageError} When the picture data are damaged.
 */
export async function hidesTissue(image: OpenedImage, preview: Preview): Promise<boolean> {
  const pixels = image.width * image.height;
  if (preview.hidden < LEAST_SHARE || pixels > MOST_SEARCHED) return false;
  const rgba = await image.toRgba(image.width, image.height); // [height, width, 4]
  const greys = new Uint32Array(256); // of the hidden pixels
  for (let i = 0; i < rgba.length; i += 4) {
    if (rgba[i + 3]! >= HIDDEN) continue;
    greys[Math.round(0.299 * rgba[i]! + 0.587 * rgba[i + 1]! + 0.114 * rgba[i + 2]!)]!++;
  }
  const usual = greys.indexOf(Math.max(...greys));
  const others = greys.reduce(
    (sum, count, grey) => Math.abs(grey - usual) > SAME_GREY ? sum + count : sum,
    0,
  );
  return others >= LEAST_SHARE * pixels;
}
