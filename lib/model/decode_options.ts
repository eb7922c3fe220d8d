import type { DecodeOptions } from "../images/decode.ts";
import type { ModelCard } from "./model_card.ts";

/** How images have to be read for a saved model: as those it was trained on. */
export function decodeOptions({ architecture, preprocessing }: ModelCard): DecodeOptions {
  const { resize, stain, maxMegapixels } = preprocessing;
  return { size: architecture.imageSize, resize, stain, maxMegapixels };
}
