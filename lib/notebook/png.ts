import sharp from "sharp";
import { textWidth } from "./text_layout.ts";
import { colors, fontFamily } from "./theme.ts";

/** SVG sizes are for screens; papers want more dots. sharp draws 1:1 at 72 dots an inch. */
const SCALE = 2;
const DENSITY = 72 * SCALE;

/** Texts of the kinds that charts have; fonts differ more in their figures than in their letters. */
const SAMPLES = ["non globally sclerotic glomeruli", "2000 images, 95 % 0.9473"];

/**
 * How much smaller letters must be in PNG files of this computer to be as wide as was reckoned:
 * sharp draws with the fonts that are there, and heeds no `textLength`.
 *
 * @returns 1 where they are as wide or narrower; `null` where there are no fonts: every letter is
 * then the same box.
 */
export async function fontFit(): Promise<number | null> {
  const [i, w] = await Promise.all([drawnWidth("iiiiiiii"), drawnWidth("WWWWWWWW")]);
  if (w < 1.2 * i) return null;
  const fits = SAMPLES.map(async (text) => SCALE * textWidth(text, 20) / await drawnWidth(text));
  return Math.min(1, ...await Promise.all(fits));
}

/** A figure's SVG with letters of another size: `fit` times their own. */
export function fitFonts(svg: string, fit: number): string {
  return svg.replace(
    /font-size="([\d.]+)"/g,
    (_, size) => `font-size="${(Number(size) * fit).toFixed(3)}"`,
  );
}

/** A PNG of an SVG document, on white and at twice its size. */
export async function drawPng(svg: string): Promise<Uint8Array> {
  return await sharp(new TextEncoder().encode(svg), { density: DENSITY })
    .flatten({ background: colors.paper }).png({ compressionLevel: 9 }).toBuffer();
}

/** Width of a text of 20 pixels as drawn, in pixels of the PNG. */
async function drawnWidth(text: string): Promise<number> {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="900" height="40">` +
    `<text x="10" y="28" font-size="20" font-family="${fontFamily}">${text}</text></svg>`;
  const { info } = await sharp(new TextEncoder().encode(svg), { density: DENSITY })
    .flatten({ background: colors.paper }).trim().toBuffer({ resolveWithObject: true });
  return info.width;
}
