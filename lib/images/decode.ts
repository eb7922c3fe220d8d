import { ImageError } from "../core/errors.ts";
import { sha256Of } from "../core/files.ts";
import { createBudget, mapAhead } from "../core/long_work.ts";
import { createRandom } from "../core/random.ts";
import type { Config } from "../core/settings.ts";
import { type Fit, openImage, readImageFile } from "../data/open_image.ts";
import type { StainReference } from "../run/model_card.ts";
import { normaliseStain } from "./stain.ts";

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

/** An image as a model sees it, and the size of its file, in pixels, as displayed. */
export interface DecodedImage {
  /** 8-bit sRGB, row-major [size, size, 3]. */
  pixels: Uint8Array;
  /** The same before stains were normalised; `pixels` themselves where they were not. */
  original: Uint8Array;
  width: number;
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
  // 0 for what is not there: reading says so
  const fileSize = await Deno.stat(path).then(({ size }) => size, () => 0);
  return await files.spend(fileSize, async () => {
    const bytes = await readImageFile(path, maxMegapixels);
    if (sha256 && await sha256Of(bytes) !== sha256) {
      const what = "it has changed since notebook 02 read it; run the notebooks again from 02.";
      throw new ImageError(path, what);
    }
    const image = await openImage(bytes, path, maxMegapixels);
    const { width, height, channels } = image;
    const toSquare = () => image.toRgb(size, size, FITS[resize]); // [size, size, 3]
    const original = await decoded.spend(width * height * channels, toSquare);
    const pixels = stain ? normaliseStain(original, stain) : original;
    return { pixels, original, width, height };
  });
}

const AHEAD = 2;

/**
 * Decodes images into batches, ahead of the consumer. Memory holds a few batches, however many
 * images there are.
 *
 * @param paths Absolute.
 * @param options `batchSize`: images a batch; the last one holds what remains.
 * @returns `pixels`: 8-bit sRGB, row-major [n, size, size, 3]; `paths`: the n files.
 * @throws {ImageError} When the turn of an image comes that cannot be decoded: no image ever becomes
 *   zeros. Batches before it are whole. A consumer that stops early leaves nothing running.
 * @example
 * ```ts
 * for await (const { pixels, paths } of batches(files, { ...decode, batchSize: 32 })) {
 *   look(pixels, paths);
 * }
 * ```
 */
export async function* batches(
  paths: readonly string[],
  { batchSize, ...options }: DecodeOptions & { batchSize: number },
): AsyncGenerator<{ pixels: Uint8Array; paths: string[] }, void, void> {
  const decoded = mapAhead(
    paths,
    async (path) => (await decodeImage(path, options)).pixels,
    { inFlight: DECODES_AHEAD, ahead: AHEAD * batchSize },
  );
  const length = options.size ** 2 * 3;
  try {
    for (let start = 0; start < paths.length; start += batchSize) {
      const own = paths.slice(start, start + batchSize);
      const pixels = new Uint8Array(own.length * length); // [n, size, size, 3]
      for (const i of own.keys()) pixels.set((await decoded.next()).value!, i * length);
      yield { pixels, paths: own };
    }
  } finally {
    await decoded.return();
  }
}

/** Decoded images in memory, for those that are read in every epoch. */
export type PixelCache = ReturnType<typeof createPixelCache>;

/**
 * A cache of decoded images. The first ones that fit stay for good: an epoch reads every image once,
 * so that making room for one would only push out another that is needed before it.
 *
 * @param megabytes `config.training.pixelCacheMegabytes`.
 */
export function createPixelCache(megabytes: number) {
  const entries = new Map<string, { version: string; pixels: Uint8Array }>();
  let left = megabytes * 1e6;
  return {
    /**
     * The pixels of a file, which are the caller's own: from memory when they are there and the file
     * has not changed since, else from `decode`.
     *
     * @throws {ImageError} When the file is gone, or `decode` cannot read it.
     */
    pixels: async (path: string, decode: () => Promise<Uint8Array>): Promise<Uint8Array> => {
      const version = await versionOf(path);
      const held = entries.get(path);
      if (held?.version === version) return new Uint8Array(held.pixels);
      const pixels = await decode();
      left += held?.pixels.length ?? 0;
      entries.delete(path);
      if (pixels.length <= left) {
        left -= pixels.length;
        // not slice(): that of the Buffer in which pixels come is a view
        entries.set(path, { version, pixels: new Uint8Array(pixels) });
      }
      return pixels;
    },
    /** Images held. */
    count: () => entries.size,
  };
}

async function versionOf(path: string): Promise<string> {
  try {
    const { size, mtime } = await Deno.stat(path);
    return `${size} ${mtime?.getTime()}`;
  } catch (cause) {
    throw new ImageError(path, "the file is not there (any more).", { cause });
  }
}

/** An image's turn in an epoch. */
export interface Draw {
  /** Place of the image in its list. */
  index: number;
  /** How often the training has come by this image, this time included: from 1. */
  view: number;
}

/**
 * The images of an epoch, in order: as many as there are, the same each time for the same seed.
 *
 * `natural`: every image once, shuffled.
 *
 * `balanced`: every class equally often (to within one image), so that images of a rarer class come
 * several times. Drawn without replacement: a class's images are shuffled and dealt until all have
 * had their turn, then shuffled again, on from one epoch to the next. So all images of a class are
 * seen equally often (to within one), which a draw with replacement leaves to chance.
 *
 * @param labels Class of each image: [n].
 * @param options `epoch`: from 1; `sampling`: `config.training.sampling`.
 * @example
 * ```ts
 * epochDraws([0, 0, 0, 1], { seed: 42, epoch: 1, sampling: "balanced" }) // image 3 twice
 * ```
 */
export function epochDraws(
  labels: readonly number[],
  { seed, epoch, sampling }: {
    seed: number;
    epoch: number;
    sampling: Config["training"]["sampling"];
  },
): Draw[] {
  if (sampling === "natural") {
    const indices = createRandom(`${seed}/epoch/${epoch}`).shuffle([...labels.keys()]);
    return indices.map((index) => ({ index, view: epoch }));
  }
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const draws = classes.flatMap((label, place) => {
    const members = [...labels.keys()].filter((index) => labels[index] === label);
    // what is left over by the division goes to the first classes
    const share = Math.floor((labels.length + classes.length - 1 - place) / classes.length);
    return deal(members, (epoch - 1) * share, share, `${seed}/balanced/${label}`);
  });
  return createRandom(`${seed}/balanced/epoch/${epoch}`).shuffle(draws);
}

/** The turns from `from` on in an endless sequence of shuffled rounds through the members. */
function deal(members: readonly number[], from: number, count: number, seed: string): Draw[] {
  const draws: Draw[] = [];
  for (let turn = from; turn < from + count;) {
    const round = Math.floor(turn / members.length);
    const start = turn - round * members.length;
    const dealt = createRandom(`${seed}/${round}`).shuffle(members)
      .slice(start, start + from + count - turn);
    draws.push(...dealt.map((index) => ({ index, view: round + 1 })));
    turn += dealt.length;
  }
  return draws;
}
