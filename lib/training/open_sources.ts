import { augment } from "../images/augment/augment.ts";
import { viewRandom } from "../images/augment/draw_changes.ts";
import { isAugmented } from "../images/augment/is_augmented.ts";
import type { Draw } from "../images/epoch_draws.ts";
import { createPixelCache } from "../images/pixel_cache.ts";
import { openFeatureCache } from "./feature_cache.ts";
import type { FeatureExtractor } from "./feature_extractor.ts";
import { valuesPerImage } from "./feature_records.ts";
import { type FeatureSource, featureSource, type View } from "./features.ts";
import type { TrainingJob } from "./fit.ts";

/** The features of both subsets. */
export interface Sources {
  train: FeatureSource;
  validation: FeatureSource;
  /** Why some outputs of the frozen layers are not kept, in words; `null`: all are, so far. */
  refusal(): string | null;
  close(): Promise<void>;
}

/**
 * Features of both subsets. The frozen layers' outputs are kept in memory
 * (`training.cacheMegabytes`) and on disk (`training.cacheGigabytes`), for other kernels and other
 * settings of the trainable part as well; what does not fit is computed at every reading.
 *
 * With augmentation every view of a training image is another. `training.cachedViews` says how many
 * an image there are; they come in turn and are kept. 0: without end, and the frozen part runs on
 * each, from decoded pixels as far as those fit (`training.pixelCacheMegabytes`). Validation images
 * are never augmented.
 *
 * @param folder Of the outputs on disk; its name is `hashFrozenPart`.
 */
export async function openSources(
  { config, decode, train, validation }: Pick<
    TrainingJob,
    "config" | "decode" | "train" | "validation"
  >,
  extractor: FeatureExtractor,
  folder: string,
): Promise<Sources> {
  const { augmentation, cachedViews, cacheMegabytes, cacheGigabytes, pixelCacheMegabytes } =
    config.training;
  const cache = await openFeatureCache({
    folder,
    values: valuesPerImage(extractor.shapes),
    memoryBytes: cacheMegabytes * 1e6,
    diskBytes: cacheGigabytes * 1e9,
  });
  const common = { extractor, decode, cache };
  const endless = isAugmented(augmentation) && cachedViews === 0;
  const viewOf = ({ index, view: turn }: Draw): View => {
    const view = endless ? turn : (turn - 1) % cachedViews + 1;
    return {
      key: endless ? null : JSON.stringify([config.seed, view, index, augmentation]),
      change: (pixels) =>
        augment(pixels, decode.size, augmentation, viewRandom(config.seed, view, index)),
    };
  };
  return {
    train: featureSource({
      ...common,
      images: train,
      ...(endless ? { pixels: createPixelCache(pixelCacheMegabytes) } : {}),
      ...(isAugmented(augmentation) ? { viewOf } : {}),
    }),
    validation: featureSource({ ...common, images: validation }),
    refusal: cache.refusal,
    close: cache.close,
  };
}
