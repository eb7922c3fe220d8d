/** Numbers as little-endian 16-bit floats (IEEE 754 binary16) in base64. */
export function packFloats(values: Float32Array): string {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => view.setFloat16(2 * i, value, true));
  return bytes.toBase64();
}

/**
 * The inverse of {@linkcode packFloats}. The length of the text is checked before anything is made
 * of it.
 *
 * @param count How many numbers there must be.
 * @returns `null` when there are not so many, or some are not finite.
 */
export function unpackFloats(text: string, count: number): Float32Array | null {
  if (text.length !== 4 * Math.ceil(2 * count / 3)) return null;
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.fromBase64(text);
  } catch {
    return null;
  }
  if (bytes.length !== 2 * count) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const values = Float32Array.from({ length: count }, (_, i) => view.getFloat16(2 * i, true));
  return values.every(Number.isFinite) ? values : null;
}
