import * as Plot from "@observablehq/plot";
import { images, percent } from "../in_words.ts";
import { card, CONTENT_WIDTH } from "./card.ts";
import type { Figure } from "./figure.ts";
import { plotPanel, titled } from "./panel.ts";
import { classColors, classLabel, colors } from "./theme.ts";

/**
 * Images per class, with what always answering the larger class would score: the figure that every
 * accuracy has to be read against.
 *
 * @param counts A row a class, the negative one first; their sum is n.
 */
export function classCountsChart(
  { counts, run }: { counts: readonly { label: string; count: number }[]; run: string },
): Figure {
  const n = counts.reduce((sum, row) => sum + row.count, 0);
  const rows = counts.map((row, i) => ({
    class: classLabel(row.label),
    count: row.count,
    share: percent(row.count / n),
    color: classColors(counts.length)[i]!,
  }));
  const most = rows.reduce((a, b) => b.count > a.count ? b : a);
  const text = { y: "class", textAnchor: "start", dx: 6, fontSize: 12 } as const;
  const panel = plotPanel({
    width: CONTENT_WIDTH,
    height: 62 * rows.length + 44,
    marginLeft: 4,
    marginRight: 110,
    marginTop: 4,
    marginBottom: 40,
    x: { ...titled("Images"), grid: true, nice: true },
    y: { axis: null, domain: rows.map((row) => row.class), padding: 0.5, paddingOuter: 0.4 },
    marks: [
      Plot.barX(rows, { x: "count", y: "class", fill: "color", rx2: 2 }),
      Plot.text(rows, { ...text, x: 0, text: "class", dy: -25 }),
      Plot.text(rows, {
        ...text,
        x: "count",
        text: (row) => `${row.count.toLocaleString("en-GB")} (${row.share})`,
        fontWeight: "bold",
      }),
      Plot.ruleX([0], { stroke: colors.ink }),
    ],
  });
  return card({
    title: "Images per class",
    subtitle: `Run ${run} · n = ${images(n)}`,
    rows: [[panel]],
    ...(n === 0 ? {} : {
      note: `Majority baseline: always answering “${most.class}” is right ${most.share} of the ` +
        `time. An accuracy near that says nothing.`,
    }),
  });
}
