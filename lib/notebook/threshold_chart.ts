import * as Plot from "@observablehq/plot";
import { percent } from "../in_words.ts";
import { confusionMatrix } from "../metrics/confusion_matrix.ts";
import { thresholdCurve, type ThresholdRates } from "../metrics/threshold_curve.ts";
import { card, CONTENT_WIDTH, type LegendItem } from "./card.ts";
import { curveHeading, type CurveInput } from "./curve_parts.ts";
import type { Figure } from "./figure.ts";
import { type Panel, plotPanel, titled } from "./panel.ts";
import { colors, thresholdText } from "./theme.ts";

const RATES = [
  { name: "sensitivity", color: colors.positive, mark: "line", dash: "" },
  { name: "specificity", color: colors.negative, mark: "dashed", dash: "7 3" },
  { name: "precision", color: colors.accent, mark: "dotted", dash: "2 3" },
] as const;

/**
 * Sensitivity, specificity and precision over the decision threshold, with the chosen one. A rate
 * that is undefined (no positive images; none called positive) has no line there.
 */
export function thresholdChart(
  { labels, probabilities, threshold, run }: Omit<CurveInput, "groups" | "seed">,
): Figure {
  const heading = curveHeading("Rates over the threshold", { labels, run });
  if (labels.length === 0) return card({ ...heading, rows: [], note: "There are no images." });
  const curve = thresholdCurve(labels, probabilities);
  const chosen = threshold === null ? null : ratesAt(labels, probabilities, threshold);
  const absent = labels.includes(1) ? labels.includes(0) ? "" : "negative" : "positive";
  return card({
    ...heading,
    legend: [
      ...RATES.map(({ name, color, mark }) => ({ label: name, color, mark })),
      ...(threshold === null ? [] : [
        {
          label: `threshold ${thresholdText(threshold)}`,
          color: colors.ink,
          mark: "tick",
        } satisfies LegendItem,
      ]),
    ],
    rows: [[drawRates(curve, threshold, chosen ?? [])]],
    note: (chosen
      ? `At the threshold: ${chosen.map(describe).join(", ")}.`
      : "Of more than two classes the most probable one is the answer: no threshold is in force.") +
      (absent ? ` No image is of the ${absent} class.` : ""),
  });
}

/** One rate at the chosen threshold, as a share of images. */
interface ChosenRate {
  name: string;
  color: string;
  right: number;
  of: number;
}

function ratesAt(
  labels: readonly number[],
  probabilities: readonly number[],
  threshold: number,
): ChosenRate[] {
  const m = confusionMatrix(labels, probabilities.map((p) => p >= threshold ? 1 : 0));
  const shares = {
    sensitivity: { right: m.truePositive, of: m.truePositive + m.falseNegative },
    specificity: { right: m.trueNegative, of: m.trueNegative + m.falsePositive },
    precision: { right: m.truePositive, of: m.truePositive + m.falsePositive },
  };
  return RATES.map(({ name, color }) => ({ name, color, ...shares[name] }));
}

function describe({ name, right, of }: ChosenRate): string {
  return of === 0
    ? `${name} undefined`
    : `${name} ${percent(right / of)} (${right.toLocaleString("en-GB")} of ${
      of.toLocaleString("en-GB")
    })`;
}

function drawRates(
  curve: readonly ThresholdRates[],
  threshold: number | null,
  chosen: readonly ChosenRate[],
): Panel {
  const axis = { domain: [0, 1], grid: true };
  return plotPanel({
    width: CONTENT_WIDTH,
    height: 320,
    marginLeft: 52,
    marginRight: 14,
    marginTop: 10,
    marginBottom: 42,
    x: { ...axis, ticks: 10, ...titled("Threshold on the probability of the positive class") },
    y: { ...axis, ticks: 5, ...titled("Share of images") },
    marks: [
      Plot.ruleX(threshold === null ? [] : [threshold], { stroke: colors.ink, strokeWidth: 1.5 }),
      ...RATES.map(({ name, color, dash }) =>
        Plot.line(curve, {
          x: "threshold",
          y: ({ [name]: rate }: ThresholdRates) => rate ?? NaN, // NaN: a gap
          curve: "step-before", // a rate holds from its threshold down to the one before
          stroke: color,
          strokeWidth: 2.2,
          strokeLinecap: "butt",
          ...(dash ? { strokeDasharray: dash } : {}),
        })
      ),
      Plot.dot(chosen.filter(({ of }) => of > 0), {
        x: threshold ?? 0,
        y: ({ right, of }: ChosenRate) => right / of,
        r: 4.5,
        fill: "color",
        stroke: colors.paper,
      }),
    ],
  });
}
