import { extname } from "node:path";
import sharp from "sharp";
import type { Random } from "../../random.ts";
import type { Drawing } from "./draw_crop.ts";

/** Share of the PNG crops that reach over the end of the scan, where nothing is: alpha 0. */
const OVER_THE_END = 0.06;

/**
 * A drawing as the bytes of a file: RGBA PNG, RGB JPEG or RGB TIFF, as the name's extension says.
 * sharp of one version gives the same bytes for the same drawing.
 */
export async function encodeCrop(
  drawing: Drawing,
  name: string,
  random: Random,
): Promise<Uint8Array> {
  const { width, height, pixels, blur } = drawing;
  const extension = extname(name);
  const cut = random.next() < OVER_THE_END && extension === ".png";
  if (cut) clearStrip(drawing, Math.round(width * (0.04 + 0.14 * random.next())));
  const image = sharp(pixels, { raw: { width, height, channels: 4 } }).blur(blur);
  switch (extension) {
    case ".jpg":
      return await image.removeAlpha().jpeg({ quality: 88 }).toBuffer();
    case ".tif":
      return await image.removeAlpha().tiff({ compression: "lzw", predictor: "horizontal" })
        .toBuffer();
    default:
      return await image.png({ compressionLevel: 5, adaptiveFiltering: true }).toBuffer();
  }
}

/** Makes a strip at the right transparent black, as scanners export what they did not scan. */
function clearStrip({ width, height, pixels }: Drawing, strip: number): void {
  for (let row = 0; row < height; row++) {
    pixels.fill(0, (row * width + width - strip) * 4, (row + 1) * width * 4);
  }
}
