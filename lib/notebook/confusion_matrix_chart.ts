import * as Plot from "@observablehq/plot";
import { images, percent } from "../in_words.ts";
import { countConfusions } from "../metrics/count_confusions.ts";
import { card, CONTENT_WIDTH } from "./card.ts";
import type { Figure } from "./figure.ts";
import { type Panel, plotPanel, titled } from "./panel.ts";
import { wrap } from "./text_layout.ts";
import { classLabel, colors } from "./theme.ts";

/**
 * Confusion matrix with counts and, for each true class, the share that was predicted as what.
 *
 * @param labels Index of the true class of each image.
 * @param predicted Index of the predicted class, in the same order.
 * @param classes Two or more; the last one is the positive class.
 */
export function confusionMatrixChart(
  { labels, predicted, classes, run }: {
    labels: readonly number[];
    predicted: readonly number[];
    classes: readonly string[];
    run: string;
  },
): Figure {
  const counts = countConfusions(labels, predicted, classes.length);
  return card({
    title: "Confusion matrix",
    subtitle: `Run ${run} · n = ${images(labels.length)}`,
    rows: [[drawCells(cellsOf(counts), classes.map(classLabel))]],
    note: "Percentages are of the images of one true class (a row): " +
      (classes.length === 2
        ? "upper left the specificity, lower right the sensitivity."
        : "on the diagonal the sensitivity for each class."),
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

function cellsOf(matrix: readonly (readonly number[])[]): Cell[] {
  return matrix.flatMap((row, truth) => {
    const all = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, prediction) => ({ truth, prediction, count, rate: count / all }));
  });
}

const LEFT = 150; // names of the true classes
const RIGHT = 8;

function drawCells(cells: readonly Cell[], names: readonly string[]): Panel {
  const width = names.length === 2 ? 560 : CONTENT_WIDTH;
  const cellWidth = (width - LEFT - RIGHT) / names.length;
  const cellHeight = Math.min(128, cellWidth * 0.7);
  const below = names.map((name) => brokenName(name, cellWidth - 16, 4));
  const beside = names.map((name) => brokenName(name, LEFT - 38, Math.floor(cellHeight / 14)));
  const bottom = 36 + 13 * Math.max(...below.map((name) => name.split("\n").length));
  const axis = { domain: names.map((_, i) => i), padding: 0.03, label: null };
  const ticks = { tickSize: 0, fontSize: 12 };
  const place = { x: "prediction", y: "truth" };
  const fill = (cell: Cell) => cell.rate > 0.55 ? colors.paper : colors.ink;
  const [large, small] = [Math.min(24, cellWidth / 4.2), Math.min(13, cellWidth / 5.5)];
  return plotPanel({
    width,
    height: Math.round(cellHeight * names.length) + 8 + bottom,
    marginLeft: LEFT,
    marginRight: RIGHT,
    marginTop: 8,
    marginBottom: bottom,
    x: axis,
    y: axis,
    color: { type: "linear", domain: [0, 1], range: ["#eef4fa", colors.negative] },
    marks: [
      Plot.cell(cells, { ...place, fill: (cell: Cell) => cell.rate || 0, rx: 3 }),
      Plot.axisX({
        ...titled("Predicted class"),
        ...ticks,
        tickFormat: (index: number) => below[index]!,
        labelOffset: bottom - 8,
      }),
      Plot.axisY({
        ...titled("True class"),
        ...ticks,
        tickFormat: (index: number) => beside[index]!,
        labelOffset: LEFT - 10,
      }),
      Plot.text(cells, {
        ...place,
        text: (cell: Cell) => cell.count.toLocaleString("en-GB"),
        fill,
        fontSize: large,
        fontWeight: "bold",
        dy: -large / 3,
      }),
      Plot.text(cells, {
        ...place,
        text: (cell: Cell) => percent(cell.rate),
        fill,
        fontSize: small,
        dy: large * 2 / 3,
      }),
    ],
  });
}

/** A name in lines of a width; what is more than `lines` of them ends in "…". */
function brokenName(name: string, width: number, lines: number): string {
  const all = wrap(name, width, 12);
  const kept = all.slice(0, lines);
  if (all.length > lines) kept[lines - 1] += "…";
  return kept.join("\n");
}
