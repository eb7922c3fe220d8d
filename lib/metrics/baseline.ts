import { images, percent } from "../core/words.ts";
import type { Predictions } from "../run/predictions.ts";
import { confusionMatrix } from "./rates.ts";

/** The level below which chance is no longer a fair explanation. */
const ALPHA = 0.05;

/** With fewer groups even the best of all results has a p above {@linkcode ALPHA}: 1/16. */
const FEWEST_GROUPS = 5;

/**
 * Tests whether predictions are right more often than always predicting the majority class of
 * these labels.
 *
 * Exact one-sided sign-flip test by group (a paired permutation test, Fisher 1935): were the model
 * no better, it and the baseline could change places within any patient or slide. p is the share
 * of all such exchanges whose lead of the model, in images that it alone has right less images that
 * the baseline alone has right, is at least the one found. Images of one group are exchanged
 * together, since they are no independent evidence. Where every image is its own group, or groups
 * are left out, this is the exact McNemar test (1947),
 * `scipy.stats.binomtest(k, n, 0.5, alternative="greater")`; with groups it is
 * `scipy.stats.permutation_test(..., permutation_type="samples", alternative="greater")` with all
 * permutations.
 *
 * @returns `p`: the chance of a result at least this good if the model were no better. `better`: p is
 * below 0.05. `test`: its name. The verdict (`headline`) and how it was reached (`sentence`), in words.
 */
export function betterThanBaseline(
  { labels, predicted, groups }:
    & Pick<Predictions, "labels" | "predicted">
    & Partial<Pick<Predictions, "groups">>,
) {
  const n = labels.length;
  const distinct = groups ? new Set(groups).size : n;
  const test = distinct === n
    ? "exact McNemar test, one-sided"
    : `exact sign-flip test by group, one-sided, ${distinct} group${distinct === 1 ? "" : "s"}`;
  if (n === 0) {
    const sentence = "There are no images to compare with the baseline.";
    return { p: 1, better: false, test, headline: "Nothing was tested.", sentence };
  }
  const m = confusionMatrix(labels, predicted);
  const positives = m.truePositive + m.falseNegative;
  const majority = 2 * positives > n ? 1 : 0;
  const [onlyModel, onlyBaseline] = majority
    ? [m.trueNegative, m.falseNegative]
    : [m.truePositive, m.falsePositive];
  // 0 where both are right, or both wrong
  const leads = predicted.map((one, i) => one === majority ? 0 : one === labels[i] ? 1 : -1);
  const p = chanceOfLead(leads, groups);
  const better = p < ALPHA;
  const right = m.truePositive + m.trueNegative;
  const baselineRight = Math.max(positives, n - positives);
  const chance = p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`;
  const tooFew = distinct < FEWEST_GROUPS && distinct < n
    ? ` With fewer than ${FEWEST_GROUPS} patients or slides no result can show it.`
    : "";
  const headline = better
    ? "Better than always giving the more frequent answer."
    : right > baselineRight
    ? "It is not shown that this model is better than the baseline, which always gives the more " +
      `frequent answer: its lead on these ${images(n)} may be chance.`
    : "This model is no better than the baseline, which always gives the more frequent answer. " +
      "Do not rely on its answers.";
  const sentence =
    `The accuracy of ${percent(right / n)} is ${better ? "" : "not shown to be "}better than the ` +
    `${percent(baselineRight / n)} of always answering the more frequent class (${test}: ` +
    `${chance}; only the model is right on ${images(onlyModel)}, only the baseline on ` +
    `${images(onlyBaseline)}).${tooFew}`;
  return { p, better, test, headline, sentence };
}

/**
 * P(Σ ±leads ≥ Σ leads) when the sign of every group's sum is a fair coin's, from the exact
 * distribution: one-sided sign-flip test, see {@linkcode betterThanBaseline}.
 *
 * @param imageLeads Of each image: 1 where one side alone is right, -1 where the other is, else 0.
 * @param groups Patient or slide of each; left out, every image stands for itself.
 */
export function chanceOfLead(imageLeads: readonly number[], groups?: readonly string[]): number {
  const byGroup = new Map<string | number, number>();
  for (const [i, lead] of imageLeads.entries()) {
    const key = groups?.[i] ?? i;
    byGroup.set(key, (byGroup.get(key) ?? 0) + lead);
  }
  const leads = [...byGroup.values()];
  const steps = leads.map(Math.abs).filter((step) => step > 0);
  const sum = (of: readonly number[]) => of.reduce((total, step) => total + step, 0);
  const [reach, lead] = [sum(steps), sum(leads)];
  // chances[s] is that of the sum s - reach
  let chances = new Float64Array(2 * reach + 1);
  chances[reach] = 1;
  let reached = 0;
  for (const step of steps) {
    const next = new Float64Array(chances.length);
    for (let at = reach - reached; at <= reach + reached; at++) {
      const half = chances[at]! / 2;
      next[at - step]! += half;
      next[at + step]! += half;
    }
    chances = next;
    reached += step;
  }
  return Math.min(1, sum([...chances.subarray(lead + reach)].reverse())); // the smallest first
}
