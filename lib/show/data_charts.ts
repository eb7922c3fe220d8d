import * as Plot from "@observablehq/plot";
import { images, percent } from "../core/words.ts";
import {
  card,
  classColors,
  classLabel,
  colors,
  CONTENT_WIDTH,
  type Figure,
  type Panel,
  plotPanel,
  titled,
} from "./card.ts";

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

/** More dots than this make a file of many megabytes and a blot on the page. */
const MAX_DOTS = 3000;

/**
 * Width against height of the images, by class.
 *
 * Above 3000 images an even selection is drawn, and the figure says so; the note's numbers are of
 * all images.
 *
 * @param sizes A row an image: pixels and class folder name.
 * @param classes In the order of `config.data.classes`.
 */
export function sizeChart(
  { sizes, classes, run }: {
    sizes: readonly SizeRow[];
    classes: readonly string[];
    run: string;
  },
): Figure {
  const step = Math.ceil(sizes.length / MAX_DOTS);
  const drawn = sizes.filter((_, i) => i % step === 0);
  const labels = classes.map(classLabel);
  const range = classColors(classes.length);
  const selection = step > 1 ? ` · ${drawn.length.toLocaleString("en-GB")} of them drawn` : "";
  return card({
    title: "Image sizes",
    subtitle: `Run ${run} · n = ${images(sizes.length)}${selection}`,
    legend: [
      ...labels.map((label, i) => ({ label, color: range[i]!, mark: "circle" as const })),
      { label: "square", color: colors.muted, mark: "dashed" },
    ],
    rows: [[drawDots(drawn, labels, range)]],
    ...(sizes.length === 0 ? {} : {
      note: `Width ${spread(sizes.map((size) => size.width))}; ` +
        `height ${spread(sizes.map((size) => size.height))} (pixels).`,
    }),
  });
}

/** Size of one image in pixels, with its class folder. */
interface SizeRow {
  width: number;
  height: number;
  label: string;
}

function drawDots(
  sizes: readonly SizeRow[],
  labels: readonly string[],
  range: readonly string[],
): Panel {
  const largest = sizes.reduce((most, { width, height }) => Math.max(most, width, height), 1);
  const smallest = sizes.reduce((least, s) => Math.min(least, s.width, s.height), largest);
  return plotPanel({
    width: CONTENT_WIDTH,
    height: 400,
    marginLeft: 56,
    marginRight: 16,
    marginTop: 8,
    marginBottom: 42,
    grid: true,
    x: { ...titled("Width (pixels)"), nice: true, ...domainOf(sizes.map((size) => size.width)) },
    y: { ...titled("Height (pixels)"), nice: true, ...domainOf(sizes.map((size) => size.height)) },
    color: { domain: [...labels], range: [...range] },
    marks: [
      Plot.line([[smallest, smallest], [largest, largest]], {
        stroke: colors.muted,
        strokeDasharray: "4 3",
      }),
      Plot.dot(sizes, {
        x: "width",
        y: "height",
        fill: (row: SizeRow) => classLabel(row.label),
        fillOpacity: 0.55,
        r: 3,
      }),
    ],
  });
}

/** Where all values are one, an axis needs to be told how far to reach around it. */
function domainOf(values: readonly number[]): { domain?: [number, number] } {
  const [first] = values;
  if (first === undefined || values.some((value) => value !== first)) return {};
  const margin = Math.max(1, Math.round(0.1 * first));
  return { domain: [first - margin, first + margin] };
}

function spread(values: number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  return `${sorted[0]} to ${sorted.at(-1)}, median ${median}`;
}

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
interface SplitRow {
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
