import { openImage, readImageFile } from "../data/open_image.ts";

/**
 * Decodes an image file to the model's input size.
 *
 * The whole image is squashed to a square (its sides keep no ratio), with a linear kernel; JPEG and
 * WebP are shrunk while being decoded. What becomes of alpha, 16 bits, CMYK, orientation and so on
 * is decided in `openImage`. Not normalised: that is the model's affair.
 *
 * @param path Absolute path.
 * @param options `size`: side of the square in pixels (`config.model.imageSize`); `maxMegapixels`:
 *   larger images are refused (`config.data.maxMegapixels`).
 * @returns 8-bit sRGB, row-major [size, size, 3].
 * @throws {ImageError} When the file is missing, empty, no image, damaged, or too large or small.
 */
export async function decodeImage(
  path: string,
  { size, maxMegapixels }: { size: number; maxMegapixels: number },
): Promise<Uint8Array> {
  const bytes = await readImageFile(path, maxMegapixels);
  const image = await openImage(bytes, path, maxMegapixels);
  return await image.toRgb(size, size);
}
