import sharp, { type Sharp } from "sharp";
import { createRandom } from "../../../lib/core/random.ts";
import { imageTraits } from "../../../lib/images/traits.ts";
import type { Appearance, Flag } from "../../../lib/model/ordinary.ts";
import type { FeaturePredictor } from "../../../lib/model/predict.ts";

/** A picture as a model sees it, and the size of its file. */
export interface Picture {
  /** RGB [size, size, 3]. */
  pixels: Uint8Array;
  width: number;
  height: number;
}

/** A kind of image that a model has never been shown. */
export interface Outlier {
  name: string;
  picture: Picture;
  /** One of these at least must be said of it. */
  expected: Flag[];
}

/** Decodes an image as `decodeImage` does. */
export async function see(image: Sharp, size: number): Promise<Picture> {
  const { width, height } = await image.metadata();
  const pixels = await image.flatten({ background: "#ffffff" })
    .resize(size, size, { fit: "fill", kernel: "linear" }).removeAlpha().raw().toBuffer();
  return { pixels: new Uint8Array(pixels), width, height };
}

/** Traits and features of pictures. */
export async function appearances(
  predictor: FeaturePredictor,
  pictures: readonly Picture[],
  size: number,
): Promise<Appearance[]> {
  const result: Appearance[] = [];
  for (let start = 0; start < pictures.length; start += 16) {
    const batch = pictures.slice(start, start + 16);
    const pixels = Uint8Array.from(batch.flatMap((picture) => [...picture.pixels]));
    const { features } = await predictor.predictWithFeatures(pixels);
    const channels = features.length / batch.length;
    batch.forEach((picture, i) => {
      result.push({
        traits: imageTraits(picture.pixels, size, picture),
        features: features.slice(i * channels, (i + 1) * channels),
      });
    });
  }
  return result;
}

/**
 * What can be done to an ordinary crop to make an outlier of it, and pictures of nothing.
 *
 * @param crop At its own size.
 */
export async function outliersOf(crop: Uint8Array, size: number): Promise<Outlier[]> {
  const { width, height } = await sharp(crop).metadata();
  const plain = () => sharp(crop).flatten({ background: "#ffffff" });
  const changed = async (change: (image: Sharp) => Sharp) =>
    await see(sharp(await change(plain()).png().toBuffer()), size);
  const pixels = (draw: (i: number) => number): Picture => ({
    pixels: Uint8Array.from({ length: size * size * 3 }, (_, i) => draw(i)),
    width,
    height,
  });
  const random = createRandom("outliers");
  const text = `<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400">` +
    `<rect width="400" height="400" fill="white"/>${
      Array.from({ length: 20 }, (_, i) =>
        `<text x="5" y="${20 * i + 16}" font-size="16">Report ${i}: kidney, biopsy</text>`).join("")
    }</svg>`;
  const blur = 5 * width / 224;
  return [
    {
      name: "blurred",
      picture: await changed((i) => i.blur(blur)),
      expected: ["blurred", "unfamiliar"],
    },
    ...await Promise.all([60, 120, 240].map(async (hue): Promise<Outlier> => ({
      name: `colours turned by ${hue}°`,
      picture: await changed((i) => i.modulate({ hue })),
      expected: ["unusual_colour"],
    }))),
    { name: "inverted", picture: await changed((i) => i.negate()), expected: ["unusual_colour"] },
    {
      name: "another stain, blue",
      picture: await changed((i) => i.recomb([[0, 0, 1], [0.5, 0, 0.5], [1, 0, 0]])),
      expected: ["unusual_colour", "unfamiliar"],
    },
    {
      name: "nearly black",
      picture: await changed((i) => i.linear(0.15, 0)),
      expected: ["too_dark", "unusual_colour"],
    },
    {
      name: "nearly white",
      picture: await changed((i) => i.linear(0.1, 228)),
      expected: ["too_bright", "unusual_colour"],
    },
    {
      name: "tiny",
      picture: await see(sharp(await plain().resize(24, 24).png().toBuffer()), size),
      expected: ["unusual_size"],
    },
    {
      name: "a strip",
      picture: await changed((i) =>
        i.extract({ left: 0, top: 0, width, height: Math.round(height / 5) })
      ),
      expected: ["unusual_shape"],
    },
    { name: "noise", picture: pixels(() => random.integer(256)), expected: ["unfamiliar"] },
    {
      name: "one colour, that of tissue",
      picture: pixels((i) => [200, 150, 190][i % 3]!),
      expected: ["blurred"],
    },
    {
      name: "text",
      picture: await see(sharp(new TextEncoder().encode(text)), size),
      expected: ["unusual_colour", "unfamiliar"],
    },
  ];
}
