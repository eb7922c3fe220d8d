import * as Plot from "@observablehq/plot";
import { images, percent } from "../in_words.ts";
import { card, CONTENT_WIDTH } from "./card.ts";
import type { Figure } from "./figure.ts";
import { type Panel, plotPanel, titled } from "./panel.ts";
import { classColors, classLabel, colors } from "./theme.ts";

/**
 * Images per subset and class, with the fraction that was asked for, where there is one, marked on
 * each bar.
 *
 * @param rows A row a subset and class, in the order they are to be drawn.
 * @param requested Fraction of all images asked for, by subset; empty for a split that was given.
 * @param classes The positive class is the last one.
 */
export function splitChart(
  { rows, requested, classes, run }: {
    rows: readonly SplitRow[];
    requested: Readonly<Record<string, number>>;
    classes: readonly string[];
    run: string;
  },
): Figure {
  const n = total(rows);
  const labels = classes.map(classLabel);
  const range = classColors(classes.length);
  return card({
    title: "Split into training, validation and test images",
    subtitle: `Run ${run} · n = ${images(n)}`,
    legend: [
      ...labels.map((label, i) => ({ label, color: range[i]!, mark: "area" as const })),
      ...Object.keys(requested).length === 0
        ? []
        : [{ label: "asked for", color: colors.ink, mark: "tick" as const }],
    ],
    rows: [[drawBars(rows, subsetsOf(rows, requested, classes.at(-1)!), labels, range)]],
  });
}

/** Images of one class in one subset. */
export interface SplitRow {
  subset: string;
  label: string;
  count: number;
}

interface Subset {
  subset: string;
  /** Images asked for. */
  asked: number | undefined;
  /** Where on the axis there is room for text. */
  end: number;
  size: string;
  positives: string;
}

function subsetsOf(
  rows: readonly SplitRow[],
  requested: Readonly<Record<string, number>>,
  positiveClass: string,
): Subset[] {
  const n = total(rows);
  return [...new Set(rows.map((row) => row.subset))].map((subset) => {
    const own = rows.filter((row) => row.subset === subset);
    const count = total(own);
    const positives = total(own.filter((row) => row.label === positiveClass));
    const asked = requested[subset];
    return {
      subset,
      asked: asked === undefined ? undefined : asked * n,
      end: Math.max(count, (asked ?? 0) * n),
      size: `${images(count)}, ${percent(count / n)}` +
        (asked === undefined ? "" : ` (asked ${percent(asked)})`),
      positives: `${positives.toLocaleString("en-GB")} positive, ${percent(positives / count)}`,
    };
  });
}

function total(rows: readonly SplitRow[]): number {
  return rows.reduce((sum, row) => sum + row.count, 0);
}

function drawBars(
  rows: readonly SplitRow[],
  subsets: readonly Subset[],
  labels: readonly string[],
  range: readonly string[],
): Panel {
  const text = { x: "end", y: "subset", textAnchor: "start", dx: 10, fontSize: 12 } as const;
  return plotPanel({
    width: CONTENT_WIDTH,
    height: 62 * subsets.length + 48,
    marginLeft: 78,
    marginRight: 212,
    marginTop: 4,
    marginBottom: 42,
    x: { ...titled("Images"), grid: true },
    y: { label: null, domain: subsets.map((row) => row.subset), padding: 0.4 },
    color: { domain: [...labels], range: [...range] },
    marks: [
      Plot.axisY({ fontSize: 12, tickSize: 0, label: null }),
      Plot.barX(rows, {
        x: "count",
        y: "subset",
        fill: (row: SplitRow) => classLabel(row.label),
        order: [...labels],
      }),
      Plot.tickX(subsets, { x: "asked", y: "subset", stroke: colors.ink, strokeWidth: 2.5 }),
      Plot.text(subsets, { ...text, text: "size", dy: -8 }),
      Plot.text(subsets, { ...text, text: "positives", dy: 8, fill: colors.muted }),
      Plot.ruleX([0], { stroke: colors.ink }),
    ],
  });
}
