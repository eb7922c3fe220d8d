import { createRandom } from "../../lib/core/random.ts";
import { type Prediction, type Predictions, predictionsOf } from "../../lib/run/predictions.ts";

export const CLASSES = ["non_globally_sclerotic_glomeruli", "globally_sclerotic_glomeruli"];

/** Predictions of some images, by the threshold 0.5. */
export interface Sample {
  /** 0 or 1 (positive). */
  labels: readonly number[];
  probabilities: readonly number[];
  /** The probabilities when left out. */
  uncalibrated?: readonly number[];
  groups?: readonly string[];
  classes?: readonly string[];
  run?: string;
  threshold?: number;
}

/** Of three classes or more, an image that is not positive is of the first one. */
export function predictionsFrom(
  { labels, probabilities, uncalibrated, groups, classes = CLASSES, run, threshold = 0.5 }: Sample,
): Predictions {
  const nameOf = (positive: boolean) => positive ? classes.at(-1)! : classes[0]!;
  const rows = labels.map((label, i): Prediction => ({
    path: `${i}.png`,
    label: nameOf(label === 1),
    predicted: nameOf(probabilities[i]! >= threshold),
    probability: probabilities[i]!,
    uncalibrated: uncalibrated?.[i] ?? probabilities[i]!,
    group: groups?.[i] ?? `${i}.png`,
  }));
  return predictionsOf(rows, { run: run ?? "trial", source: "test", classes, seed: 1, threshold });
}

/** The predictions of a fair model, calibrated, for images of a few groups. */
export function scene(
  n: number,
  { share = 0.4, groups = 8, ...rest }: Omit<Partial<Sample>, "groups"> & {
    share?: number;
    groups?: number;
  } = {},
): Predictions {
  const random = createRandom(`scene/${n}`);
  const labels = Array.from({ length: n }, (_, i) => i < share * n ? 1 : 0);
  const probabilities = labels.map((label) =>
    1 / (1 + Math.exp(1 - 3 * label - 1.5 * random.normal()))
  );
  return predictionsFrom({
    labels,
    probabilities,
    uncalibrated: probabilities.map(Math.sqrt),
    groups: labels.map((_, i) => `slide ${i % groups}`),
    ...rest,
  });
}
