/** An image format that the project decodes. */
export type ImageFormat = "jpeg" | "png" | "tiff" | "webp" | "gif" | "bmp";

/** The signatures of the formats: text where it is text, `?` for any byte. */
const SIGNATURES: readonly [ImageFormat, string][] = [
  ["jpeg", "\xff\xd8\xff"],
  ["png", "\x89PNG\r\n\x1a\n"],
  ["tiff", "II*\0"],
  ["tiff", "MM\0*"],
  ["tiff", "II+\0"], // BigTIFF
  ["tiff", "MM\0+"],
  ["webp", "RIFF????WEBP"],
  ["gif", "GIF8"],
  ["bmp", "BM"],
];

/** File name extensions of each format, lower case. */
const EXTENSIONS: Readonly<Record<ImageFormat, readonly string[]>> = {
  jpeg: [".jpg", ".jpeg"],
  png: [".png"],
  tiff: [".tif", ".tiff"],
  webp: [".webp"],
  gif: [".gif"],
  bmp: [".bmp"],
};

/**
 * The format of an image file by its first bytes, whatever its name says; `null` for anything that
 * is none of the six. Other formats that the decoder library knows (SVG, PDF, …) are left out on
 * purpose: they can refer to other files.
 */
export function sniffFormat(bytes: Uint8Array): ImageFormat | null {
  const matches = (signature: string): boolean =>
    bytes.length >= signature.length &&
    [...signature].every((char, i) => char === "?" || bytes[i] === char.charCodeAt(0));
  return SIGNATURES.find(([, signature]) => matches(signature))?.[0] ?? null;
}

/** Whether a file name's extension, in any case, is one of the format's own. */
export function extensionFits(path: string, format: ImageFormat): boolean {
  return EXTENSIONS[format].some((extension) => path.toLowerCase().endsWith(extension));
}
