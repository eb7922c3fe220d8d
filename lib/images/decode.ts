import type { Config } from "../config_schema.ts";
import { type Fit, openImage, readImageFile } from "../data/open_image.ts";
import { ImageError } from "../errors.ts";
import { sha256Of } from "../files.ts";
import { createBudget } from "./budget.ts";
import { normaliseStain } from "./stain/normalise_stain.ts";
import type { StainReference } from "./stain/stain_reference.ts";

/** How image files become a model's pixels. */
export interface DecodeOptions {
  /** Side of the square in pixels (`config.model.imageSize`). */
  size: number;
  /** How an image becomes a square (`config.model.resize`). */
  resize: Config["model"]["resize"];
  /** Larger images are refused (`config.data.maxMegapixels`). */
  maxMegapixels: number;
  /** Colours that the image is brought to (`config.model.stainNormalisation`); none: as it is. */
  stain?: StainReference | null;
}

/** An image as a model sees it. */
export interface DecodedImage {
  /** 8-bit sRGB, row-major [size, size, 3]. */
  pixels: Uint8Array;
  /** The same before stains were normalised; `pixels` themselves where they were not. */
  original: Uint8Array;
  /** Of the file, in pixels, as displayed. */
  width: number;
  /** Of the file, in pixels, as displayed. */
  height: number;
}

const FITS: Readonly<Record<DecodeOptions["resize"], Fit>> = {
  squash: "fill",
  letterbox: "contain",
  centre_crop: "cover",
};

/**
 * Decodes that may be under way side by side: while TensorFlow computes a batch, this thread starts
 * none and takes none on to its next stage, so those of several batches must be on their way before.
 */
export const DECODES_AHEAD = 128;

// Many small images at a time, or few large ones: bytes of files, and of their pixels.
const files = createBudget(512e6);
const decoded = createBudget(512e6);

/** 0 for what is not there: reading says so. */
async function fileSize(path: string): Promise<number> {
  return await Deno.stat(path).then(({ size }) => size, () => 0);
}

/**
 * Decodes an image file straight to the model's input size, with a linear kernel that widens when
 * shrinking; JPEG and WebP are shrunk while being decoded.
 *
 * `squash` shows everything, with sides that keep no ratio, as Keras' loaders do; `letterbox` shows
 * everything undistorted between bars of white, as glass is; `centre_crop` shows the largest square
 * in the middle. What becomes of alpha, 16 bits, CMYK, orientation and so on is decided in
 * `openImage`. Not normalised: that is the model's affair.
 *
 * @param path Absolute path.
 * @param sha256 What the file's content should be; by default anything.
 * @throws {ImageError} When the file is missing, empty, no image, damaged, or too large or small, or
 *   has other content than it should.
 */
export async function decodeImage(
  path: string,
  { size, resize, maxMegapixels, stain }: DecodeOptions,
  sha256?: string,
): Promise<DecodedImage> {
  return await files.spend(await fileSize(path), async () => {
    const bytes = await readImageFile(path, maxMegapixels);
    if (sha256 && await sha256Of(bytes) !== sha256) {
      throw new ImageError(
        path,
        "it has changed since notebook 02 read it; run the notebooks again from 02.",
      );
    }
    const image = await openImage(bytes, path, maxMegapixels);
    const { width, height } = image;
    const original = await decoded.spend( // [size, size, 3]
      width * height * image.channels,
      () => image.toRgb(size, size, FITS[resize]),
    );
    const pixels = stain ? normaliseStain(original, stain) : original;
    return { pixels, original, width, height };
  });
}
