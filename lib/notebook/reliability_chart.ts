import * as Plot from "@observablehq/plot";
import { expectedCalibrationError } from "../metrics/probability_scores.ts";
import { type ReliabilityBin, reliabilityBins } from "../metrics/reliability.ts";
import { sharedGroups } from "../metrics/shared_groups.ts";
import { card, CONTENT_WIDTH, GAP } from "./card.ts";
import { curveHeading } from "./curve_parts.ts";
import type { Figure } from "./figure.ts";
import { heading, type Panel, plotPanel, titled } from "./panel.ts";
import { colors } from "./theme.ts";

const PANEL_WIDTH = (CONTENT_WIDTH - GAP) / 2;
const MARGINS = { marginLeft: 52, marginRight: 12 };

/**
 * Reliability diagram before and, where there is one, after calibration: of the images with about
 * the same probability, the share that is positive, with how many images that rests on.
 *
 * @param labels 0 or 1 (positive).
 * @param probabilities Of the positive class as the model gives them, in the same order.
 * @param calibrated The same after calibration; left out where the model has none.
 * @param groups Patient or slide of each image.
 */
export function reliabilityChart(
  { labels, probabilities, calibrated, groups, run }: {
    labels: readonly number[];
    probabilities: readonly number[];
    calibrated?: readonly number[];
    groups?: readonly string[];
    run: string;
  },
): Figure {
  const heading = curveHeading("Reliability diagram", { labels, run });
  const before = expectedCalibrationError(labels, probabilities);
  if (before === null) {
    return card({ ...heading, rows: [], note: "There is no reliability diagram: no images." });
  }
  const sides = [
    {
      title: `${calibrated ? "Before calibration" : "Not calibrated"}: ECE ${before.toFixed(3)}`,
      bins: reliabilityBins(labels, probabilities),
      color: colors.positive,
    },
    ...(calibrated
      ? [{
        title: `After calibration: ECE ${expectedCalibrationError(labels, calibrated)!.toFixed(3)}`,
        bins: reliabilityBins(labels, calibrated),
        color: colors.negative,
      }]
      : []),
  ];
  return card({
    ...heading,
    legend: [
      {
        label: "share of positive images, with 95 % interval (Wilson)",
        color: calibrated ? colors.ink : colors.positive,
        mark: "circle",
      },
      { label: "perfect calibration", color: colors.muted, mark: "dashed" },
    ],
    rows: [
      sides.map((side) => diagram(side)),
      sides.map((side) => histogram(side)),
    ],
    note:
      "ECE: expected calibration error, the mean vertical distance of the dots from the diagonal " +
      "weighted by their images; 0 is best." +
      (sharedGroups(groups)
        ? " The intervals take images as independent; those of one group are not, so that they " +
          "are too narrow."
        : ""),
  });
}

interface Side {
  title: string;
  bins: readonly ReliabilityBin[];
  color: string;
}

function diagram({ title, bins, color }: Side): Panel {
  const axis = { domain: [0, 1], ticks: 5, grid: true };
  return plotPanel({
    ...MARGINS,
    width: PANEL_WIDTH,
    height: 318,
    marginTop: 28,
    marginBottom: 20,
    x: { ...axis, label: null },
    y: { ...axis, ...titled("Share of positive images") },
    marks: [
      heading(title),
      Plot.line([[0, 0], [1, 1]], { stroke: colors.muted, strokeDasharray: "4 3" }),
      Plot.line(bins, { x: "meanProbability", y: "share", stroke: color, strokeOpacity: 0.45 }),
      Plot.ruleX(bins, {
        x: "meanProbability",
        y1: "low",
        y2: "high",
        stroke: color,
        strokeWidth: 1.8,
      }),
      Plot.dot(bins, { x: "meanProbability", y: "share", r: 4.5, fill: color }),
    ],
  });
}

/** How many images are in each bin. */
function histogram({ bins, color }: Side): Panel {
  const most = Math.max(...bins.map(({ n }) => n));
  return plotPanel({
    ...MARGINS,
    width: PANEL_WIDTH,
    height: 118,
    marginTop: 4,
    marginBottom: 40,
    x: { domain: [0, 1], ticks: 5, ...titled("Probability of the positive class") },
    y: { domain: [0, most * 1.3], axis: null },
    marks: [
      Plot.axisY({ ticks: [], ...titled("Images") }),
      Plot.rectY(bins, {
        x1: "from",
        x2: "to",
        y: "n",
        fill: color,
        fillOpacity: 0.55,
        inset: 0.75,
      }),
      Plot.text(bins, {
        x: ({ from, to }: ReliabilityBin) => (from + to) / 2,
        y: "n",
        text: ({ n }: ReliabilityBin) => n < 10_000 ? String(n) : `${Math.round(n / 1000)}k`,
        dy: -7,
        fontSize: 10,
      }),
      Plot.ruleY([0], { stroke: colors.ink }),
    ],
  });
}
