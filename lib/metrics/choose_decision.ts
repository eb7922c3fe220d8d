import type { Config } from "../config_schema.ts";
import { DataError } from "../errors.ts";
import { disposeModel } from "../model/model.ts";
import type { ModelCard } from "../model/model_card.ts";
import { updateCard } from "../model/update_card.ts";
import { runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { fitDecision, type FittedDecision } from "./fit_decision.ts";
import { predictSubset } from "./predict_subset.ts";
import { loadRunModel } from "./run_model.ts";

/** The decision that is now on the model's card, and what led to it. */
export interface ChosenDecision extends FittedDecision {
  card: ModelCard;
}

/**
 * Chooses how the run's saved model answers (calibration, threshold, accept band) on its validation
 * images, and stores that with the model. The test images are not looked at. The same config and
 * data give the same files again.
 *
 * @throws {ModelError} When there is no usable model.
 * @throws {DataError} When the split is missing, has no validation image, or is not the one that
 * the model was trained on.
 * @throws {ImageError} When a validation image has gone or broken since.
 */
export async function chooseDecision(
  config: Config,
  onProgress?: OnProgress,
): Promise<ChosenDecision> {
  const loaded = await loadRunModel(config);
  const { testTimeAugmentation } = config.metrics;
  const decision = { ...loaded.card.decision, testTimeAugmentation };
  const run = { ...loaded, card: { ...loaded.card, decision } };
  try {
    const predictions = await predictSubset(run, "validation", config, onProgress);
    if (predictions.length === 0) {
      throw new DataError(
        `The split of the run ${JSON.stringify(config.run)} has no validation image.`,
        "Make another split (notebook 03), then train again.",
      );
    }
    const { classes } = run.card.architecture;
    const fitted = fitDecision({
      probabilities: predictions.map(({ probabilities }) => probabilities),
      labels: predictions.map(({ label }) => classes.indexOf(label)),
      groups: predictions.map(({ group }) => group),
      classes,
      seed: config.seed,
    }, config);
    const card = { ...run.card, decision: fitted.decision };
    await updateCard(runPaths(config.run).model, run.model, card);
    return { ...fitted, card };
  } finally {
    disposeModel(run.model);
  }
}
