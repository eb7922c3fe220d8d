/** A decoded bitmap. */
export interface Bitmap {
  width: number;
  height: number;
  /** Channels of the file: 1 for a grey palette, else 3. */
  channels: number;
  /** RGB, row-major: [height, width, 3]. */
  pixels: Uint8Array;
}

/** Size and layout of a BMP file, from its header. */
interface BmpHeader {
  width: number;
  height: number;
  topDown: boolean;
  bitsPerPixel: number;
  /** Byte offsets of palette and pixels. */
  paletteAt: number;
  pixelsAt: number;
}

/**
 * Width and height of a BMP file without decoding it.
 *
 * @throws {Error} When the header is not that of an uncompressed 8-, 24- or 32-bit bitmap.
 */
export function bmpSize(bytes: Uint8Array): { width: number; height: number } {
  const { width, height } = readHeader(bytes);
  return { width, height };
}

/**
 * Decodes an uncompressed BMP file: 8-bit palette, 24- or 32-bit. sharp does not read BMP. The
 * fourth byte of 32-bit files is padding by definition (BI_RGB) and ignored.
 *
 * @throws {Error} When the file is compressed, of another bit depth, or cut short.
 */
export function decodeBmp(bytes: Uint8Array): Bitmap {
  const { width, height, topDown, bitsPerPixel, paletteAt, pixelsAt } = readHeader(bytes);
  const stride = Math.ceil(width * bitsPerPixel / 32) * 4; // rows are padded to 4 bytes
  if (pixelsAt + stride * height > bytes.length) throw new Error("BMP file is cut short");
  const pixels = new Uint8Array(width * height * 3); // [height, width, 3]
  const step = bitsPerPixel / 8;
  let isGrey = bitsPerPixel === 8;
  for (let y = 0, out = 0; y < height; y++) {
    const row = pixelsAt + (topDown ? y : height - 1 - y) * stride;
    for (let x = 0; x < width; x++, out += 3) {
      const at = row + x * step;
      const bgr = bitsPerPixel === 8 ? paletteAt + bytes[at]! * 4 : at;
      pixels[out] = bytes[bgr + 2]!;
      pixels[out + 1] = bytes[bgr + 1]!;
      pixels[out + 2] = bytes[bgr]!;
      isGrey &&= bytes[bgr] === bytes[bgr + 1] && bytes[bgr] === bytes[bgr + 2];
    }
  }
  return { width, height, channels: isGrey ? 1 : 3, pixels };
}

const BI_RGB = 0;
const BI_BITFIELDS = 3;

function readHeader(bytes: Uint8Array): BmpHeader {
  if (bytes.length < 54) throw new Error("BMP file is cut short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const headerSize = view.getUint32(14, true);
  const width = view.getInt32(18, true);
  const signedHeight = view.getInt32(22, true);
  const bitsPerPixel = view.getUint16(28, true);
  const compression = view.getUint32(30, true);
  if (headerSize < 40) throw new Error("BMP file of an old type (OS/2)");
  const usualMasks = compression === BI_BITFIELDS && bitsPerPixel === 32 && bytes.length >= 66 &&
    view.getUint32(54, true) === 0xff0000 && view.getUint32(58, true) === 0xff00 &&
    view.getUint32(62, true) === 0xff;
  if (![8, 24, 32].includes(bitsPerPixel) || !(compression === BI_RGB || usualMasks)) {
    throw new Error(`${bitsPerPixel}-bit or compressed BMP is not supported; save it as PNG`);
  }
  if (width <= 0 || signedHeight === 0) throw new Error("BMP header is damaged");
  return {
    width,
    height: Math.abs(signedHeight),
    topDown: signedHeight < 0,
    bitsPerPixel,
    paletteAt: 14 + headerSize,
    pixelsAt: view.getUint32(10, true),
  };
}
