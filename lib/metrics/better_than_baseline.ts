import { confusionMatrix } from "./confusion_matrix.ts";

/** The level below which chance is no longer a fair explanation. */
const ALPHA = 0.05;

/** The outcome of {@linkcode betterThanBaseline}. */
export interface BaselineTest {
  /** Chance of a result at least this good if the model were no better than the baseline. */
  p: number;
  /** Whether p is below 0.05. */
  better: boolean;
  /** The same in words, with the test named. */
  sentence: string;
}

/**
 * Tests whether predictions are right more often than always answering the majority class of
 * these labels.
 *
 * Exact McNemar test, one-sided: among the images on which exactly one of the two is right, the
 * model must be that one more often than a fair coin. Images count as independent, so where many
 * come from one patient p is on the small side. Source: McNemar 1947;
 * `scipy.stats.binomtest(k, n, 0.5, alternative="greater")`.
 *
 * @param labels 0 or 1 (positive).
 * @param predicted 0 or 1, in the same order.
 */
export function betterThanBaseline(
  { labels, predicted }: { labels: readonly number[]; predicted: readonly number[] },
): BaselineTest {
  const n = labels.length;
  if (n === 0) {
    return { p: 1, better: false, sentence: "There are no images to compare with the baseline." };
  }
  const m = confusionMatrix(labels, predicted);
  const positives = m.truePositive + m.falseNegative;
  const onPositives = 2 * positives > n; // the baseline's answer
  const onlyModel = onPositives ? m.trueNegative : m.truePositive;
  const onlyBaseline = onPositives ? m.falseNegative : m.falsePositive;
  const p = upperTail(onlyModel, onlyModel + onlyBaseline);
  const better = p < ALPHA;
  const accuracy = percent((m.truePositive + m.trueNegative) / n);
  const baseline = percent(Math.max(positives, n - positives) / n);
  const chance = p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
  return {
    p,
    better,
    sentence:
      `The accuracy of ${accuracy} is ${
        better ? "better than" : "not shown to be better than"
      } the ${baseline} of always answering the more frequent class (exact McNemar test, one-sided: ` +
      `${chance}; only the model is right on ${images(onlyModel)}, only the baseline on ` +
      `${images(onlyBaseline)}).`,
  };
}

/** P(X ≥ k) of a binomial with n trials and chance 1/2, summed from the smallest term up. */
function upperTail(k: number, n: number): number {
  let logTerm = -n * Math.LN2; // of n successes, the last term
  let sum = 0;
  for (let i = n; i >= k; i--) {
    sum += Math.exp(logTerm);
    logTerm += Math.log(i / (n - i + 1)); // C(n, i - 1) = C(n, i) × i / (n - i + 1)
  }
  return Math.min(1, sum);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function images(count: number): string {
  return `${count} image${count === 1 ? "" : "s"}`;
}
