import { join } from "node:path";
import sharp from "sharp";
import { hugePng, picture, picturePixels, put } from "../data/test_images.ts";

const script = "<script>alert(1)<";

/** Images that can be read, by what is odd about them; the names are hostile. */
export const READABLE = {
  "b.png": "plain",
  "B.PNG": "the same name in another case",
  "a/16 bit.png": "16 bits",
  "a/grey.png": "one channel",
  "a/cmyk.jpg": "CMYK",
  "a/rgba.png": "transparent",
  "a/animated.webp": "two frames",
  "a/rotated.jpg": "upright by its EXIF orientation alone",
  "a/multi.tif": "two pages",
  "a/lies.png": "a JPEG by content",
  "a/\"quoted\", with 'both'.png": "quotes and commas",
  "a/line\nbreak\r.png": "line breaks",
  [`a/${script}/script>.png`]: "a script in folder and name",
  "=cmd()|' /C calc'!A0.png": "a formula",
  "-1+1.png": "a formula",
  "@SUM(A1).png": "a formula",
  "'apostrophe.png": "as if escaped already",
  "\ttab.png": "a tab",
  "é😀.png": "beyond ASCII",
  " space .png": "spaces",
} as const;

/** Files with an image's name that cannot be read, and what must be said about each. */
export const UNREADABLE = {
  "bad/truncated.png": /damaged, cut short/,
  "bad/truncated.jpg": /damaged, cut short/,
  "bad/empty.png": /empty \(0 bytes\)/,
  "bad/text.png": /text file/,
  "bad/noise.tif": /not JPEG, PNG/,
  "bad/one pixel.png": /only 1 × 1 pixels/,
  "bad/bomb.png": /30000 × 30000 pixels, 900 megapixels/,
  "=bad(),\n.png": /text file/,
} as const;

/** Writes one of everything that is {@linkcode READABLE} or not, and what is passed over. */
export async function makeOddFolder(folder: string): Promise<void> {
  const rotated = picture(9, 60, 40).rotate(90).withMetadata({ orientation: 8 });
  const special: Record<string, () => Promise<Uint8Array>> = {
    "a/16 bit.png": () => picture(2).toColourspace("rgb16").png().toBuffer(),
    "a/grey.png": () => picture(3).greyscale().toColourspace("b-w").png().toBuffer(),
    "a/cmyk.jpg": () => picture(4).toColourspace("cmyk").jpeg().toBuffer(),
    "a/rgba.png": () => picture(5).ensureAlpha(0.5).png().toBuffer(),
    "a/animated.webp": () => frames(6).webp({ lossless: true }).toBuffer(),
    "a/multi.tif": () => frames(7).tiff().toBuffer(),
    "a/rotated.jpg": () => rotated.jpeg({ quality: 100, chromaSubsampling: "4:4:4" }).toBuffer(),
    "a/lies.png": () => picture(8).jpeg().toBuffer(),
  };
  for (const [index, name] of Object.keys(READABLE).entries()) {
    const bytes = await (special[name]?.() ?? picture(20 + index).png().toBuffer());
    await put(folder, name, bytes);
  }
  const png = await picture(1, 200, 150).png().toBuffer();
  const jpeg = await picture(1, 200, 150).jpeg().toBuffer();
  const text = "This is no image.";
  const bad: Record<keyof typeof UNREADABLE, Uint8Array | string> = {
    "bad/truncated.png": png.subarray(0, png.length / 2),
    "bad/truncated.jpg": jpeg.subarray(0, jpeg.length / 2),
    "bad/empty.png": "",
    "bad/text.png": text,
    "bad/noise.tif": Uint8Array.from({ length: 500 }, (_, i) => i * 37),
    "bad/one pixel.png": await picture(1, 1, 1).png().toBuffer(),
    "bad/bomb.png": hugePng(30000, 30000),
    "=bad(),\n.png": text,
  };
  for (const [name, content] of Object.entries(bad)) await put(folder, name, content);
  await put(folder, "notes.txt", text);
  await put(folder, ".hidden.png", png);
  await Deno.symlink(folder, join(folder, "a/loop"));
  await Deno.symlink(join(folder, "b.png"), join(folder, "a/link.png"));
}

/** The picture that a/rotated.jpg shows, stored upright; and lying on its side, as it is stored there. */
export async function rotatedTwins(): Promise<{ upright: Uint8Array; sideways: Uint8Array }> {
  const options = { quality: 100, chromaSubsampling: "4:4:4" };
  return {
    upright: await picture(9, 60, 40).jpeg(options).toBuffer(),
    sideways: await picture(9, 60, 40).rotate(90).jpeg(options).toBuffer(),
  };
}

function frames(seed: number) {
  const pixels = Uint8Array.from([
    ...picturePixels(seed, 40, 40),
    ...picturePixels(seed + 50, 40, 40),
  ]);
  return sharp(pixels, { raw: { width: 40, height: 80, channels: 3, pageHeight: 40 } });
}
