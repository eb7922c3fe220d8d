import { averageSymmetries } from "./average_symmetries.ts";
import type { Model } from "./model.ts";
import type { ModelCard } from "./model_card.ts";
import { createPredictor, type FeaturePredictor } from "./predictor.ts";

/**
 * A predictor that answers as the model's card says: alone, or as the mean over the symmetries.
 *
 * @param options See `createPredictor`.
 */
export function answeringPredictor(
  model: Model,
  { preprocessing, decision, architecture }: ModelCard,
  options: { consume?: boolean } = {},
): FeaturePredictor {
  const predictor = createPredictor(model, preprocessing, options);
  return decision.testTimeAugmentation
    ? averageSymmetries(predictor, architecture.imageSize)
    : predictor;
}
