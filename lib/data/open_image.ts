import sharp, { type Metadata, type Sharp } from "sharp";
import { ImageError, reasonOf } from "../core/errors.ts";

// The threads go to decoding several images side by side; within one image more threads cost more
// than they bring. No file is opened twice, so a cache would only hold memory.
sharp.concurrency(1);

sharp.cache(false);

/** Images decoded side by side: two a core, so that a core never waits for a file. */
export const DECODES_IN_FLIGHT: number = 2 * navigator.hardwareConcurrency;

/** Smaller images (in pixels, on either side) are refused: they show nothing. */
const MIN_SIDE = 8;

/** What shows through transparent pixels: white, as the empty glass around a section. */
const BACKGROUND = "#ffffff";

/** What the project decodes, by signature: text where it is text, `?` for any byte. */
const FORMATS = {
  jpeg: { signatures: ["\xff\xd8\xff"], extensions: [".jpg", ".jpeg"] },
  png: { signatures: ["\x89PNG\r\n\x1a\n"], extensions: [".png"] },
  // the last two are BigTIFF
  tiff: { signatures: ["II*\0", "MM\0*", "II+\0", "MM\0+"], extensions: [".tif", ".tiff"] },
  webp: { signatures: ["RIFF????WEBP"], extensions: [".webp"] },
  gif: { signatures: ["GIF8"], extensions: [".gif"] },
  bmp: { signatures: ["BM"], extensions: [".bmp"] },
} as const;

type ImageFormat = keyof typeof FORMATS;

/** Whether a file name's extension, in any case, is one of the format's own. */
export function extensionFits(path: string, format: ImageFormat): boolean {
  return FORMATS[format].extensions.some((extension) => path.toLowerCase().endsWith(extension));
}

/** How an image is brought to a size of another ratio. */
export type Fit = "fill" | "contain" | "cover";

/** An image whose header has been read and found good; its pixels are decoded on demand. */
export interface OpenedImage {
  format: ImageFormat;
  /** In pixels, after the EXIF orientation has been applied, as is the height. */
  width: number;
  height: number;
  /** Channels in the file: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA or CMYK. */
  channels: number;
  /** How the pixels are stored where that is unusual: "grey", "16-bit", "CMYK"; else empty. */
  mode: string;
  /**
   * Decodes to 8-bit sRGB of this size, row-major [height, width, 3], with a linear kernel that
   * widens when shrinking (as Pillow's BILINEAR), so that nothing aliases. Its own size leaves the
   * pixels as they are.
   *
   * @param fit `fill` squashes (the default), `contain` keeps the ratio of the sides and fills up
   *   with white, `cover` keeps it and cuts off what does not fit, around the centre.
   *
   * @throws {ImageError} When the picture data are damaged or cut short.
   */
  toRgb(width: number, height: number, fit?: Fit): Promise<Uint8Array>;
  /**
   * As `toRgb`, with transparency instead of white: row-major [height, width, 4], alpha 0 to 255.
   * The colour under fully transparent pixels is that of the file at its own size alone.
   *
   * @throws {ImageError} When the picture data are damaged or cut short.
   */
  toRgba(width: number, height: number): Promise<Uint8Array>;
}

/**
 * The bytes of an image file, read at once.
 *
 * @param maxMegapixels `config.data.maxMegapixels`; bounds the file's size too, since a whole
 *   slide scan must not fill the memory before its header is looked at.
 * @throws {ImageError} When the file is gone, locked or far too large.
 */
export async function readImageFile(path: string, maxMegapixels: number): Promise<Uint8Array> {
  try {
    const { size } = await Deno.stat(path);
    const limit = maxMegapixels * 1e6 * 8 + 2 ** 26; // 16-bit RGBA, uncompressed, and its metadata
    if (size <= limit) return await Deno.readFile(path);
    const what = `the file has ${Math.round(size / 1e6)} MB, more than an image of ` +
      `${maxMegapixels} megapixels (data.maxMegapixels) can need.`;
    throw new ImageError(path, what);
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    throw new ImageError(path, explainReadError(path, cause), { cause });
  }
}

/**
 * Opens an image: the one place that decides what becomes of unusual files.
 *
 * - Damaged and truncated files are refused (`failOn: "error"`), never filled up with grey.
 * - Of animated and multi-page files the first page counts.
 * - EXIF orientation is applied. Colours go to 8-bit sRGB, through the embedded ICC profile where
 *   there is one: 16-bit values keep their upper 8 bits, grey is repeated thrice, CMYK is converted.
 * - Transparent pixels are laid over white.
 * - Floating-point and 32-bit samples have no agreed range and are refused.
 *
 * @param bytes The file's content, from {@linkcode readImageFile}.
 * @param path Names the file in errors.
 * @param maxMegapixels Larger images are refused from their header alone.
 * @throws {ImageError} When it is empty, no image, damaged, or too large or small.
 */
export async function openImage(
  bytes: Uint8Array,
  path: string,
  maxMegapixels: number,
): Promise<OpenedImage> {
  const format = sniffFormat(bytes);
  if (format === null) throw new ImageError(path, explainNoImage(bytes));
  const limitInputPixels = Math.floor(maxMegapixels * 1e6);
  try {
    if (format === "bmp") {
      const bitmap = decodeBmp(bytes, (size) => checkSize(size, path, limitInputPixels));
      const { width, height, pixels, isGrey } = bitmap;
      const image = sharp(pixels, { raw: { width, height, channels: 3 } });
      const stored = { channels: isGrey ? 1 : 3, mode: isGrey ? "grey" : "" };
      return decodable(image, { format, width, height, ...stored }, path);
    }
    const options = { failOn: "error", limitInputPixels, autoOrient: true, pages: 1 } as const;
    const image = sharp(bytes, options);
    const metadata = await image.metadata().catch(() =>
      // beyond the limit: how far, for the message
      sharp(bytes, { ...options, limitInputPixels: false }).metadata()
    );
    checkSize(metadata, path, limitInputPixels);
    const { depth, channels, autoOrient: { width, height } } = metadata;
    if (!["uchar", "ushort"].includes(depth)) {
      throw new ImageError(path, `its samples are of type ${depth}; save it with 8 or 16 bits.`);
    }
    return decodable(image, { format, width, height, channels, mode: modeOf(metadata) }, path);
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    throw damaged(path, cause, format === "bmp" && cause instanceof Error ? cause.message : "");
  }
}

/** @param image Not yet resized. */
function decodable(
  image: Sharp,
  header: Omit<OpenedImage, "toRgb" | "toRgba">,
  path: string,
): OpenedImage {
  const decode = async (from: Sharp, width: number, height: number, fit: Fit) => {
    try {
      return await from.resize(width, height, { fit, kernel: "linear", background: BACKGROUND })
        .toColourspace("srgb").raw({ depth: "uchar" }).toBuffer();
    } catch (cause) {
      throw damaged(path, cause);
    }
  };
  return {
    ...header,
    toRgb: (width, height, fit = "fill") =>
      decode(image.clone().flatten({ background: BACKGROUND }), width, height, fit),
    toRgba: (width, height) => decode(image.clone().ensureAlpha(), width, height, "fill"),
  };
}

/** What is unusual about how an image is stored; 8 bits of RGB, with or without alpha, are usual. */
function modeOf({ space, depth, channels }: Metadata): string {
  const bits = depth === "ushort" ? ["16-bit"] : [];
  const colour = space === "cmyk" ? ["CMYK"] : channels < 3 ? ["grey"] : [];
  return [...bits, ...colour].join(" ");
}

function checkSize(
  { width, height }: Record<"width" | "height", number>,
  path: string,
  limit: number,
) {
  const what = width * height > limit
    ? `${width} × ${height} pixels, ${Math.round(width * height / 1e6)} megapixels; the limit ` +
      `(data.maxMegapixels) is ${limit / 1e6}.`
    : Math.min(width, height) < MIN_SIDE
    ? `only ${width} × ${height} pixels; at least ${MIN_SIDE} × ${MIN_SIDE} are needed.`
    : null;
  if (what !== null) throw new ImageError(path, `it has ${what}`);
}

/**
 * The words of libvips are the cause, not the reason: it collects them from all images that are
 * being read at the time, so that they differ from one scan to the next.
 */
function damaged(path: string, cause: unknown, detail = ""): ImageError {
  const more = detail && ` (${detail})`;
  const what = `the file is damaged, cut short or of an unsupported kind${more}.`;
  return new ImageError(path, what, { cause });
}

function explainReadError(path: string, error: unknown): string {
  if (error instanceof Deno.errors.NotFound) {
    return path.includes("\ufffd") // what stands for bytes that are no text
      ? "its name is not valid UTF-8 text; rename it."
      : "the file is not there (any more).";
  }
  if (error instanceof Deno.errors.PermissionDenied) return "there is no permission to read it.";
  return `${reasonOf(error)}.`;
}

function explainNoImage(bytes: Uint8Array): string {
  if (bytes.length === 0) return "the file is empty (0 bytes).";
  const isText = bytes.subarray(0, 512).every((byte) => byte >= 32 || (byte >= 9 && byte <= 13));
  return isText
    ? "it is a text file, whatever its name says."
    : "its content is not JPEG, PNG, TIFF, WebP, GIF or BMP.";
}

/**
 * The format of an image file by its first bytes, whatever its name says; `null` for anything that
 * is none of the six. Other formats that the decoder library knows (SVG, PDF, …) are left out on
 * purpose: they can refer to other files.
 */
function sniffFormat(bytes: Uint8Array): ImageFormat | null {
  const matches = (signature: string): boolean =>
    bytes.length >= signature.length &&
    [...signature].every((char, i) => char === "?" || bytes[i] === char.charCodeAt(0));
  const formats = Object.keys(FORMATS) as ImageFormat[];
  return formats.find((format) => FORMATS[format].signatures.some(matches)) ?? null;
}

/**
 * Decodes an uncompressed BMP file: 8-bit palette, 24- or 32-bit. The fourth byte of 32-bit files is
 * padding by definition (BI_RGB) and ignored. sharp reads no BMP; fast-bmp ignores palettes, refuses
 * plain 32-bit files, and takes the negative height of one stored from the top for four billion.
 *
 * @param checkSize Called before any memory is taken.
 * @returns `pixels`: RGB, row-major [height, width, 3]; `isGrey`: it has a palette of greys alone.
 * @throws {Error} When the file is compressed, of another bit depth, or cut short.
 */
function decodeBmp(
  bytes: Uint8Array,
  checkSize: (size: { width: number; height: number }) => void,
) {
  if (bytes.length < 54) throw new Error("BMP file is cut short");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [pixelsAt, headerSize] = [view.getUint32(10, true), view.getUint32(14, true)];
  const [width, signedHeight] = [view.getInt32(18, true), view.getInt32(22, true)];
  const bitsPerPixel = view.getUint16(28, true);
  const compression = view.getUint32(30, true); // 0: BI_RGB, 3: BI_BITFIELDS
  if (headerSize < 40) throw new Error("BMP file of an old type (OS/2)");
  const usualMasks = compression === 3 && bitsPerPixel === 32 && bytes.length >= 66 &&
    [0xff0000, 0xff00, 0xff].every((mask, i) => view.getUint32(54 + 4 * i, true) === mask);
  if (![8, 24, 32].includes(bitsPerPixel) || !(compression === 0 || usualMasks)) {
    throw new Error(`${bitsPerPixel}-bit or compressed BMP is not supported; save it as PNG`);
  }
  if (width <= 0 || signedHeight === 0) throw new Error("BMP header is damaged");
  const height = Math.abs(signedHeight);
  checkSize({ width, height });
  const stride = Math.ceil(width * bitsPerPixel / 32) * 4; // rows are padded to 4 bytes
  if (pixelsAt + stride * height > bytes.length) throw new Error("BMP file is cut short");
  const pixels = new Uint8Array(width * height * 3); // [height, width, 3]
  let isGrey = bitsPerPixel === 8;
  for (let y = 0, out = 0; y < height; y++) {
    const row = pixelsAt + (signedHeight < 0 ? y : height - 1 - y) * stride;
    for (let x = 0; x < width; x++, out += 3) {
      const at = row + x * bitsPerPixel / 8;
      const bgr = bitsPerPixel === 8 ? 14 + headerSize + bytes[at]! * 4 : at; // the palette's place
      pixels[out] = bytes[bgr + 2]!;
      pixels[out + 1] = bytes[bgr + 1]!;
      pixels[out + 2] = bytes[bgr]!;
      isGrey &&= bytes[bgr] === bytes[bgr + 1] && bytes[bgr] === bytes[bgr + 2];
    }
  }
  return { width, height, pixels, isGrey };
}
