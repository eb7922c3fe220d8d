/**
 * Changes brightness and contrast, as another lamp or camera does: contrast about the image's own
 * mean, so that it does not change brightness. One table of 256 values does both.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @param brightness Added to every value, as a fraction of the range.
 * @param contrast Factor of every value's distance from the mean over all pixels and channels.
 */
export function changeLight(
  pixels: Uint8Array,
  brightness: number,
  contrast: number,
): Uint8Array {
  let sum = 0;
  for (let i = 0; i < pixels.length; i++) sum += pixels[i]!;
  const mean = sum / pixels.length;
  const table = Uint8ClampedArray.from(
    { length: 256 },
    (_, value) => Math.floor(mean + (value - mean) * contrast + 255 * brightness + 0.5),
  );
  const result = new Uint8Array(pixels.length);
  for (let i = 0; i < pixels.length; i++) result[i] = table[pixels[i]!]!;
  return result;
}
