import * as Plot from "@observablehq/plot";
import { type ConfusionMatrix, confusionMatrix } from "../metrics/confusion_matrix.ts";
import { card } from "./card.ts";
import type { Figure } from "./figure.ts";
import { type Panel, plotPanel, titled } from "./panel.ts";
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
  return card({
    title: "Confusion matrix",
    subtitle: `Run ${run} · n = ${images(labels.length)}`,
    rows: [[drawCells(cellsOf(confusionMatrix(labels, predicted)), classes.map(classLabel))]],
    note: "Percentages are of the images of one true class (a row): upper left the specificity, " +
      "lower right the sensitivity.",
  });
}

interface Cell {
  /** Class indices of the cell's row and column. */
  truth: number;
  prediction: number;
  count: number;
  /** Share of the row; NaN when the row is empty. */
  rate: number;
}

function cellsOf(m: ConfusionMatrix): Cell[] {
  return [[m.trueNegative, m.falsePositive], [m.falseNegative, m.truePositive]]
    .flatMap((counts, truth) =>
      counts.map((count, prediction) => ({
        truth,
        prediction,
        count,
        rate: count / (counts[0]! + counts[1]!),
      }))
    );
}

function drawCells(cells: readonly Cell[], names: readonly string[]): Panel {
  const axis = { domain: [0, 1], padding: 0.03, label: null };
  const ticks = { tickFormat: (index: number) => names[index]!, tickSize: 0, fontSize: 12 };
  const place = { x: "prediction", y: "truth" };
  const fill = (cell: Cell) => cell.rate > 0.55 ? colors.paper : colors.ink;
  return plotPanel({
    width: 560,
    height: 330,
    marginLeft: 150,
    marginRight: 8,
    marginTop: 8,
    marginBottom: 66,
    x: axis,
    y: axis,
    color: { type: "linear", domain: [0, 1], range: ["#eef4fa", colors.negative] },
    marks: [
      Plot.cell(cells, { ...place, fill: (cell: Cell) => cell.rate || 0, rx: 3 }),
      Plot.axisX({ ...titled("Predicted class"), ...ticks, labelOffset: 58, lineWidth: 15 }),
      Plot.axisY({ ...titled("True class"), ...ticks, labelOffset: 140, lineWidth: 9 }),
      Plot.text(cells, {
        ...place,
        text: (cell: Cell) => cell.count.toLocaleString("en-GB"),
        fill,
        fontSize: 24,
        fontWeight: "bold",
        dy: -8,
      }),
      Plot.text(cells, {
        ...place,
        text: (cell: Cell) => percent(cell.rate),
        fill,
        fontSize: 13,
        dy: 16,
      }),
    ],
  });
}
