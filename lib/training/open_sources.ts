import { augment } from "../images/augment/augment.ts";
import { viewRandom } from "../images/augment/draw_changes.ts";
import { isAugmented } from "../images/augment/is_augmented.ts";
import type { BatchItem } from "../images/batches.ts";
import { createPixelCache } from "../images/pixel_cache.ts";
import {
  featureBytes,
  type FeatureExtractor,
  type FeatureSource,
  holdFeatures,
  streamFeatures,
} from "./features.ts";
import type { TrainingJob } from "./fit.ts";

/** The features of both subsets. */
export interface Sources {
  train: FeatureSource;
  validation: FeatureSource;
}

/**
 * Features of both subsets: held in memory where they fit (`training.cacheMegabytes`), else computed
 * at every reading, from decoded pixels as far as those fit (`training.pixelCacheMegabytes`).
 *
 * With augmentation every view of a training image is another, so the frozen part runs on it each
 * time; validation images are never augmented.
 *
 * @throws {ImageError} Naming the first image that cannot be read.
 */
export async function openSources(
  { config, decode, train, validation, onProgress }: Pick<
    TrainingJob,
    "config" | "decode" | "train" | "validation" | "onProgress"
  >,
  extractor: FeatureExtractor,
): Promise<Sources> {
  const { augmentation, cacheMegabytes, pixelCacheMegabytes, batchSize } = config.training;
  const toHold = (isAugmented(augmentation) ? 0 : train.length) + validation.length;
  const fits = toHold * featureBytes(extractor.shapes) <= cacheMegabytes * 1e6;
  const pixels = createPixelCache(pixelCacheMegabytes);
  const hold = (images: readonly BatchItem[], before: number): Promise<FeatureSource> =>
    holdFeatures({
      images,
      extractor,
      decode,
      batchSize,
      onProgress: (done) => onProgress?.(before + done, toHold, "frozen layers, once an image"),
    });
  const stream = { extractor, decode, pixels };
  if (isAugmented(augmentation)) {
    return {
      train: streamFeatures({
        ...stream,
        images: train,
        change: (pixels, { index, view }) =>
          augment(pixels, decode.size, augmentation, viewRandom(config.seed, view, index)),
      }),
      validation: fits
        ? await hold(validation, 0)
        : streamFeatures({ ...stream, images: validation }),
    };
  }
  return fits
    ? { train: await hold(train, 0), validation: await hold(validation, train.length) }
    : {
      train: streamFeatures({ ...stream, images: train }),
      validation: streamFeatures({ ...stream, images: validation }),
    };
}
