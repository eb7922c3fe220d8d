import sharp from "sharp";

/**
 * What is left of an image that has been saved as a JPEG, with halved colour resolution as most
 * programs do it.
 *
 * @param pixels [size, size, 3]; not changed.
 * @param quality 1 to 100.
 */
export async function recompress(
  pixels: Uint8Array,
  size: number,
  quality: number,
): Promise<Uint8Array> {
  const jpeg = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality, chromaSubsampling: "4:2:0" }).toBuffer();
  return new Uint8Array(await sharp(jpeg).raw().toBuffer());
}
