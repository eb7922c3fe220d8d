import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { hugePng, picture, picturePixels, put } from "../data/test_images.ts";

const script = "<script>alert(1)<";

const png = (image: Sharp) => image.png();

const bestJpeg = (image: Sharp) => image.jpeg({ quality: 100, chromaSubsampling: "4:4:4" });

/** The picture that a/rotated.jpg shows, stored upright; and lying on its side, as it is stored there. */
export const TWINS = {
  upright: bestJpeg(picture(9, 60, 40)),
  sideways: bestJpeg(picture(9, 60, 40).rotate(90)),
};

/** Images that can be read, and how each is made of a picture; the names are hostile. */
export const READABLE: Readonly<Record<string, (image: Sharp) => Sharp>> = {
  "b.png": png,
  "B.PNG": png, // the same name in another case
  "a/16 bit.png": (image) => image.toColourspace("rgb16").png(),
  "a/grey.png": (image) => image.greyscale().toColourspace("b-w").png(),
  "a/cmyk.jpg": (image) => image.toColourspace("cmyk").jpeg(),
  "a/rgba.png": (image) => image.ensureAlpha(0.5).png(),
  "a/animated.webp": () => frames(6).webp({ lossless: true }),
  "a/rotated.jpg": () => TWINS.sideways.clone().withMetadata({ orientation: 8 }),
  "a/multi.tif": () => frames(7).tiff(),
  "a/lies.png": (image) => image.jpeg(),
  "a/\"quoted\", with 'both'.png": png,
  "a/line\nbreak\r.png": png,
  [`a/${script}/script>.png`]: png,
  "=cmd()|' /C calc'!A0.png": png, // a formula, as the next two
  "-1+1.png": png,
  "@SUM(A1).png": png,
  "'apostrophe.png": png, // as if escaped already
  "\ttab.png": png,
  "é😀.png": png,
  " space .png": png,
};

const text = "This is no image.";

const large = picture(1, 200, 150);

const half = async (image: Sharp) => {
  const bytes = await image.toBuffer();
  return bytes.subarray(0, bytes.length / 2);
};

/** Files with an image's name that cannot be read, and what must be said about each. */
export const UNREADABLE: Readonly<Record<string, [content: Uint8Array | string, says: RegExp]>> = {
  "bad/truncated.png": [await half(large.clone().png()), /damaged, cut short/],
  "bad/truncated.jpg": [await half(large.clone().jpeg()), /damaged, cut short/],
  "bad/empty.png": ["", /empty \(0 bytes\)/],
  "bad/text.png": [text, /text file/],
  "bad/noise.tif": [Uint8Array.from({ length: 500 }, (_, i) => i * 37), /not JPEG, PNG/],
  "bad/one pixel.png": [await picture(1, 1, 1).png().toBuffer(), /only 1 × 1 pixels/],
  "bad/bomb.png": [hugePng(30000, 30000), /30000 × 30000 pixels, 900 megapixels/],
  "=bad(),\n.png": [text, /text file/],
};

/** Writes one of everything that is {@linkcode READABLE} or not, and what is passed over. */
export async function makeOddFolder(folder: string): Promise<void> {
  for (const [index, [name, encode]] of Object.entries(READABLE).entries()) {
    await put(folder, name, await encode(picture(20 + index)).toBuffer());
  }
  for (const [name, [content]] of Object.entries(UNREADABLE)) await put(folder, name, content);
  await put(folder, "notes.txt", text);
  await put(folder, ".hidden.png", await large.clone().png().toBuffer());
  await Deno.symlink(folder, join(folder, "a/loop"));
  await Deno.symlink(join(folder, "b.png"), join(folder, "a/link.png"));
}

function frames(seed: number) {
  const pixels = [seed, seed + 50].flatMap((seed) => [...picturePixels(seed, 40, 40)]);
  const raw = { width: 40, height: 80, channels: 3, pageHeight: 40 } as const;
  return sharp(Uint8Array.from(pixels), { raw });
}
