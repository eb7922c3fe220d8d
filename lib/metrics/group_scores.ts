import { type ConfusionMatrix, confusionMatrix } from "./confusion_matrix.ts";
import { wilson } from "./wilson.ts";

/** A share of images with Wilson's 95 % interval; `null` where it is a share of none. */
export interface ScoredShare {
  right: number;
  of: number;
  value: number | null;
  low: number | null;
  high: number | null;
}

/** How one patient or slide fares. */
export interface GroupScores {
  group: string;
  n: number;
  accuracy: ScoredShare;
  sensitivity: ScoredShare;
  specificity: ScoredShare;
}

/**
 * Accuracy, sensitivity and specificity of each group, the worst first: the one whose accuracy is
 * low even at the upper end of its interval, so that one image that went wrong does not come before
 * twenty of which ten did.
 *
 * @param labels 0 or 1 (positive).
 * @param predicted 0 or 1, in the same order.
 * @param groups Patient or slide of each image, in the same order.
 */
export function groupScores(
  { labels, predicted, groups }: {
    labels: readonly number[];
    predicted: readonly number[];
    groups: readonly string[];
  },
): GroupScores[] {
  const members = Map.groupBy(groups.keys(), (i) => groups[i]!);
  const scores = [...members].map(([group, images]) =>
    scoresOf(
      group,
      confusionMatrix(images.map((i) => labels[i]!), images.map((i) => predicted[i]!)),
    )
  );
  return scores.sort((a, b) =>
    a.accuracy.high! - b.accuracy.high! || a.accuracy.value! - b.accuracy.value! ||
    (a.group < b.group ? -1 : 1)
  );
}

function scoresOf(group: string, m: ConfusionMatrix): GroupScores {
  const [positives, negatives] = [
    m.truePositive + m.falseNegative,
    m.trueNegative + m.falsePositive,
  ];
  return {
    group,
    n: positives + negatives,
    accuracy: scored(m.truePositive + m.trueNegative, positives + negatives),
    sensitivity: scored(m.truePositive, positives),
    specificity: scored(m.trueNegative, negatives),
  };
}

function scored(right: number, of: number): ScoredShare {
  return of === 0
    ? { right, of, value: null, low: null, high: null }
    : { right, of, value: right / of, ...wilson(right, of) };
}
