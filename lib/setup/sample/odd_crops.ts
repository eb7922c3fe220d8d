import sharp, { type Sharp } from "sharp";

/** A way to spoil a crop or to store it oddly. */
export interface OddCrop {
  fault:
    | "blurred"
    | "too_dark"
    | "too_bright"
    | "nearly_uniform"
    | "empty_margin"
    | "grey"
    | "sixteen_bit"
    | "cmyk"
    | "hidden_by_transparency"
    | "size_outlier"
    | "aspect_outlier"
    | "wrong_extension";
  extension: string;
  /** From the bytes of a good crop, RGBA PNG. */
  make: (source: Uint8Array) => Promise<Uint8Array>;
}

const WHITE = "#f4f2f5";
const opaque = (source: Uint8Array): Sharp => sharp(source).flatten({ background: WHITE });

/**
 * What can be wrong with a picture or unusual about its file, each so strong that a person sees it.
 * Each is made of a crop of its own: of a crop that is in the set too it would be a near-duplicate.
 */
export const ODD_CROPS: readonly OddCrop[] = [
  {
    fault: "blurred",
    extension: ".png",
    make: (source) => opaque(source).blur(14).png().toBuffer(),
  },
  { fault: "blurred", extension: ".jpg", make: blurredByScaling },
  { fault: "too_dark", extension: ".png", make: (source) => withContrast(source, 7, 20) },
  { fault: "too_bright", extension: ".png", make: (source) => withContrast(source, 7, 240) },
  { fault: "nearly_uniform", extension: ".png", make: (source) => withContrast(source, 2, 190) },
  { fault: "empty_margin", extension: ".png", make: besideTheTissue },
  { fault: "empty_margin", extension: ".jpg", make: withBars },
  {
    fault: "grey",
    extension: ".png",
    make: (source) => opaque(source).greyscale().toColourspace("b-w").png().toBuffer(),
  },
  {
    fault: "grey", // in a file with three equal channels
    extension: ".jpg",
    make: (source) => opaque(source).greyscale().jpeg({ quality: 90 }).toBuffer(),
  },
  {
    fault: "sixteen_bit",
    extension: ".png",
    make: (source) => opaque(source).toColourspace("rgb16").png().toBuffer(),
  },
  {
    fault: "cmyk",
    extension: ".jpg",
    make: (source) => opaque(source).toColourspace("cmyk").jpeg({ quality: 90 }).toBuffer(),
  },
  { fault: "hidden_by_transparency", extension: ".png", make: partlyHidden },
  {
    fault: "size_outlier",
    extension: ".png",
    make: (source) => opaque(source).resize(150).png().toBuffer(),
  },
  { fault: "aspect_outlier", extension: ".png", make: middleStrip },
  {
    fault: "wrong_extension",
    extension: ".png",
    make: (source) => opaque(source).jpeg({ quality: 88 }).toBuffer(),
  },
];

/** As if enlarged from a thirtieth of its size. */
async function blurredByScaling(source: Uint8Array): Promise<Uint8Array> {
  const { width, height } = await sharp(source).metadata();
  const small = await opaque(source).resize(Math.round(width / 30)).png().toBuffer();
  return await sharp(small).resize(width, height, { fit: "fill", kernel: "cubic" })
    .jpeg({ quality: 90 }).toBuffer();
}

/** With so much contrast (standard deviation) around a mean, both in grey levels. */
async function withContrast(
  source: Uint8Array,
  contrast: number,
  mean: number,
): Promise<Uint8Array> {
  const { data, info } = await opaque(source).raw().toBuffer({ resolveWithObject: true });
  const { channels } = await sharp(data, { raw: info }).stats();
  const own = channels.reduce((sum, { mean }) => sum + mean, 0) / channels.length;
  const deviation = channels.reduce((sum, { stdev }) => sum + stdev, 0) / channels.length;
  const slope = contrast / deviation;
  return await sharp(data, { raw: info }).linear(slope, mean - slope * own).png().toBuffer();
}

/** Nearly half as much glass beside it. */
async function besideTheTissue(source: Uint8Array): Promise<Uint8Array> {
  const { width } = await sharp(source).metadata();
  const left = Math.round(0.45 * width);
  return await opaque(source).extend({ left, background: WHITE }).png().toBuffer();
}

/** Black bars above and below. */
async function withBars(source: Uint8Array): Promise<Uint8Array> {
  const { height } = await sharp(source).metadata();
  const bar = Math.round(0.25 * height);
  return await opaque(source).extend({ top: bar, bottom: bar, background: "#000000" })
    .jpeg({ quality: 88 }).toBuffer();
}

/** The left fifth fully transparent, its colours still in the file. */
async function partlyHidden(source: Uint8Array): Promise<Uint8Array> {
  const { data, info } = await opaque(source).ensureAlpha().raw()
    .toBuffer({ resolveWithObject: true }); // [height, width, 4]
  for (let i = 0; i < data.length; i += 4) {
    if (i / 4 % info.width < info.width / 5) data[i + 3] = 0;
  }
  return await sharp(data, { raw: info }).png().toBuffer();
}

/** A third of its height. */
async function middleStrip(source: Uint8Array): Promise<Uint8Array> {
  const { width, height } = await sharp(source).metadata();
  const third = Math.round(height / 3);
  return await opaque(source).extract({ left: 0, top: third, width, height: third }).png()
    .toBuffer();
}
