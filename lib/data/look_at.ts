import { type Fingerprint, fingerprint } from "./fingerprint.ts";
import { measureImage, type Measures } from "./measure_image.ts";
import { openImage } from "./open_image.ts";
import { asPreviewed, hidesTissue, makePreview } from "./preview.ts";
import type { ImageFormat } from "./sniff_format.ts";

/** What is learnt about an image from its content alone, whatever its name and place. */
export interface Look {
  format: ImageFormat;
  /** In pixels, after the EXIF orientation has been applied. */
  width: number;
  /** In pixels, after the EXIF orientation has been applied. */
  height: number;
  /** Channels in the file: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA or CMYK. */
  channels: number;
  /** See `OpenedImage`. */
  mode: string;
  /** Transparent pixels lie over a part of the picture. */
  hidesTissue: boolean;
  measures: Measures;
  fingerprint: Fingerprint;
}

/**
 * Looks at an image: decodes it once and makes everything that the audit needs of the small copy.
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
  const { format, width, height, channels, mode } = image;
  return {
    format,
    width,
    height,
    channels,
    mode,
    hidesTissue: await hidesTissue(image, preview),
    measures: measureImage(preview),
    fingerprint: await fingerprint(asPreviewed(image, preview)),
  };
}
