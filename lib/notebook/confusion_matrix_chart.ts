import * as Plot from "@observablehq/plot";
import { confusionMatrix } from "../metrics/confusion_matrix.ts";
import { card } from "./card.ts";
import type { Figure } from "./figure.ts";
import { plotPanel } from "./panel.ts";
import { classLabel, colors, images, percent } from "./theme.ts";

/**
 * Confusion matrix with counts and, for each true class, the share that was predicted as what.
 *
 * @param labels True class of each image: 0 or 1 (positive).
 * @param predicted Predicted class of each image, in the same order.
 * @param classes The negative class, then the positive one.
 */
export function confusionMatrixChart(
  { labels, predicted, classes, run }: {
    labels: readonly number[];
    predicted: readonly number[];
    classes: readonly string[];
    run: string;
  },
): Figure {
  const m = confusionMatrix(labels, predicted);
  const names = classes.map(classLabel);
  const cells = [[m.trueNegative, m.falsePositive], [m.falseNegative, m.truePositive]]
    .flatMap((counts, row) =>
      counts.map((count, column) => {
        const rate = count / (counts[0]! + counts[1]!);
        return {
          truth: names[row],
          prediction: names[column],
          count,
          rate: Number.isFinite(rate) ? rate : 0,
          shown: count.toLocaleString("en-GB"),
          share: percent(rate),
          ink: rate > 0.55 ? colors.paper : colors.ink,
        };
      })
    );
  const axis = { domain: names, padding: 0.03, tickSize: 0, labelArrow: "none" as const };
  const panel = plotPanel({
    width: 560,
    height: 330,
    marginLeft: 150,
    marginRight: 8,
    marginTop: 8,
    marginBottom: 66,
    x: { ...axis, label: null },
    y: { ...axis, label: null },
    color: { type: "linear", domain: [0, 1], range: ["#eef4fa", colors.negative] },
    marks: [
      Plot.cell(cells, { x: "prediction", y: "truth", fill: "rate", rx: 3 }),
      Plot.axisX({
        label: "Predicted class",
        labelAnchor: "center",
        labelArrow: "none",
        labelOffset: 58,
        lineWidth: 15,
        tickSize: 0,
        fontSize: 12,
      }),
      Plot.axisY({
        label: "True class",
        labelAnchor: "center",
        labelArrow: "none",
        labelOffset: 140,
        lineWidth: 9,
        tickSize: 0,
        fontSize: 12,
      }),
      Plot.text(cells, {
        x: "prediction",
        y: "truth",
        text: "shown",
        fill: "ink",
        fontSize: 24,
        fontWeight: "bold",
        dy: -8,
      }),
      Plot.text(cells, {
        x: "prediction",
        y: "truth",
        text: "share",
        fill: "ink",
        fontSize: 13,
        dy: 16,
      }),
    ],
  });
  return card({
    title: "Confusion matrix",
    subtitle: `Run ${run} · n = ${images(labels.length)}`,
    rows: [[panel]],
    note: "Percentages are of the images of one true class (a row): upper left the specificity, " +
      "lower right the sensitivity.",
  });
}
