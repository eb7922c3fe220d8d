import * as Plot from "@observablehq/plot";
import { card, CONTENT_WIDTH } from "./card.ts";
import type { Figure } from "./figure.ts";
import { plotPanel } from "./panel.ts";
import { classLabel, colors, images, percent } from "./theme.ts";

/**
 * Images per subset and class, with the fraction that was asked for marked on each bar.
 *
 * @param rows A row a subset and class, in the order they are to be drawn.
 * @param requested Fraction of all images asked for, by subset.
 * @param classes The negative class, then the positive one.
 */
export function splitChart(
  { rows, requested, classes, run }: {
    rows: readonly { subset: string; label: string; count: number }[];
    requested: Readonly<Record<string, number>>;
    classes: readonly string[];
    run: string;
  },
): Figure {
  const n = rows.reduce((sum, row) => sum + row.count, 0);
  const labels = classes.map(classLabel);
  const range = [colors.negative, colors.positive];
  const subsets = [...new Set(rows.map((row) => row.subset))].map((subset) => {
    const own = rows.filter((row) => row.subset === subset);
    const count = own.reduce((sum, row) => sum + row.count, 0);
    const positives = own.filter((row) => row.label === classes[1])
      .reduce((sum, row) => sum + row.count, 0);
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
  const panel = plotPanel({
    width: CONTENT_WIDTH,
    height: 62 * subsets.length + 48,
    marginLeft: 78,
    marginRight: 212,
    marginTop: 4,
    marginBottom: 42,
    x: { label: "Images", labelAnchor: "center", labelArrow: "none", grid: true },
    y: { label: null, domain: subsets.map((row) => row.subset), padding: 0.4, tickSize: 0 },
    color: { domain: labels, range },
    marks: [
      Plot.axisY({ fontSize: 12, tickSize: 0, label: null }),
      Plot.barX(rows, { x: "count", y: "subset", fill: (row) => classLabel(row.label) }),
      Plot.tickX(subsets, { x: "asked", y: "subset", stroke: colors.ink, strokeWidth: 2.5 }),
      ...(["size", "positives"] as const).map((text, i) =>
        Plot.text(subsets, {
          x: "end",
          y: "subset",
          text,
          textAnchor: "start",
          dx: 10,
          dy: i === 0 ? -8 : 8,
          fontSize: 12,
          fill: i === 0 ? colors.ink : colors.muted,
        })
      ),
      Plot.ruleX([0], { stroke: colors.ink }),
    ],
  });
  return card({
    title: "Split into training, validation and test images",
    subtitle: `Run ${run} · n = ${images(n)}`,
    legend: [
      ...labels.map((label, i) => ({ label, color: range[i]!, mark: "area" as const })),
      { label: "asked for", color: colors.ink, mark: "tick" },
    ],
    rows: [[panel]],
  });
}
