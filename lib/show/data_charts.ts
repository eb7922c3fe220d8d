import * as Plot from "@observablehq/plot";
import { extent, max, median, min, sum } from "d3-array";
import { images, percent } from "../core/words.ts";
import type { ManifestRow } from "../run/manifest.ts";
import { isFold } from "../run/split_file.ts";
import {
  card,
  type ChartOptions,
  classColors,
  classLabel,
  colors,
  contentWidth,
  type Figure,
  type LegendItem,
  plotPanel,
  REFERENCE_LINE,
  runLine,
  titled,
} from "./card.ts";

/**
 * Images per class, with what always predicting the larger class would score: the figure that every
 * accuracy has to be read against.
 *
 * @param counts A row a class, the negative one first; their sum is n.
 */
export function classCountsChart(
  { counts, run }: { counts: readonly { label: string; count: number }[]; run: string },
  options: ChartOptions = {},
): Figure {
  const n = sum(counts, ({ count }) => count);
  const rows = counts.map(({ label, count }, i) => ({
    class: classLabel(label),
    count,
    share: percent(count / n),
    color: classColors(counts.length)[i]!,
  }));
  const most = rows.reduce((a, b) => b.count > a.count ? b : a);
  const text = { y: "class", textAnchor: "start", dx: 6, fontSize: 12 } as const;
  const panel = plotPanel({
    width: contentWidth(options),
    height: 62 * rows.length + 44,
    margins: [4, 110, 40, 4],
    x: { ...titled("Images"), grid: true, nice: true },
    y: { axis: null, domain: rows.map((row) => row.class), padding: 0.5, paddingOuter: 0.4 },
    marks: [
      Plot.barX(rows, { x: "count", y: "class", fill: "color", rx2: 2 }),
      Plot.text(rows, { ...text, x: 0, text: "class", dy: -25 }),
      Plot.text(rows, {
        ...text,
        x: "count",
        text: ({ count, share }) => `${count.toLocaleString("en-GB")} (${share})`,
        fontWeight: "bold",
      }),
      Plot.ruleX([0], { stroke: colors.ink }),
    ],
  });
  return card({
    title: "Images per class",
    subtitle: runLine(run, n),
    rows: [[panel]],
    note: n === 0 ? "" : `Majority baseline: always predicting “${most.class}” is right ` +
      `${most.share} of the time. An accuracy near that says nothing.`,
  }, options);
}

/** More dots than this make a file of many megabytes and a blot on the page. */
const MAX_DOTS = 3000;

/**
 * Width against height of the images, by class. Above 3000 images an even selection is drawn, and
 * the figure says so; the note's numbers are of all images.
 *
 * @param sizes A row an image, in pixels.
 * @param classes In the order of `config.data.classes`.
 */
export function sizeChart(
  { sizes, classes, run }: {
    sizes: readonly Pick<ManifestRow, "width" | "height" | "label">[];
    classes: readonly string[];
    run: string;
  },
  options: ChartOptions = {},
): Figure {
  const step = Math.ceil(sizes.length / MAX_DOTS);
  const drawn = sizes.filter((_, i) => i % step === 0);
  const selection = step > 1 ? ` · ${drawn.length.toLocaleString("en-GB")} of them drawn` : "";
  const [smallest = 1, largest = 1] = extent(drawn.flatMap(({ width, height }) => [width, height]));
  const panel = plotPanel({
    width: contentWidth(options),
    height: 400,
    margins: [8, 16, 42, 56],
    grid: true,
    x: { ...titled("Width (pixels)"), nice: true, ...domainOf(drawn.map(({ width }) => width)) },
    y: { ...titled("Height (pixels)"), nice: true, ...domainOf(drawn.map(({ height }) => height)) },
    color: colorScale(classes),
    marks: [
      Plot.line([[smallest, smallest], [largest, largest]], REFERENCE_LINE),
      Plot.dot(drawn, { x: "width", y: "height", fill: ofClass, fillOpacity: 0.55, r: 3 }),
    ],
  });
  return card({
    title: "Image sizes",
    subtitle: runLine(run, sizes.length) + selection,
    legend: [
      ...classLegend(classes, "circle"),
      { label: "square", color: colors.muted, mark: "dashed" },
    ],
    rows: [[panel]],
    note: sizes.length === 0 ? "" : `Width ${spread(sizes.map(({ width }) => width))}; ` +
      `height ${spread(sizes.map(({ height }) => height))} (pixels).`,
  }, options);
}

/** Where all values are one, an axis needs to be told how far to reach around it. */
function domainOf(values: readonly number[]): { domain?: [number, number] } {
  const [low, high] = extent(values);
  if (low === undefined || low !== high) return {};
  const margin = Math.max(1, Math.round(0.1 * low));
  return { domain: [low - margin, low + margin] };
}

function spread(values: readonly number[]): string {
  return `${min(values)} to ${max(values)}, median ${Math.round(median(values)!)}`;
}

const ofClass = ({ label }: { label: string }) => classLabel(label);

function colorScale(classes: readonly string[]): Plot.ScaleOptions {
  return { domain: classes.map(classLabel), range: classColors(classes.length) };
}

function classLegend(classes: readonly string[], mark: LegendItem["mark"]): LegendItem[] {
  const range = classColors(classes.length);
  return classes.map((name, i) => ({ label: classLabel(name), color: range[i]!, mark }));
}

/**
 * Images per subset and class, with the fraction that was asked for, where there is one, marked on
 * each bar.
 *
 * @param rows A row a subset and class with its images, in the order they are to be drawn.
 * @param requested Fraction of all images asked for, by subset; empty for a split that was given.
 * @param classes The positive class is the last one.
 */
export function splitChart(
  { rows, requested, classes, run }: {
    rows: readonly { subset: string; label: string; count: number }[];
    requested: Readonly<Record<string, number>>;
    classes: readonly string[];
    run: string;
  },
  options: ChartOptions = {},
): Figure {
  const n = sum(rows, ({ count }) => count);
  const subsets = [...Map.groupBy(rows, ({ subset }) => subset)].map(([subset, own]) => {
    const count = sum(own, ({ count }) => count);
    const positives = sum(own, ({ label, count }) => label === classes.at(-1) ? count : 0);
    const asked = requested[subset];
    return {
      subset,
      asked: asked === undefined ? undefined : asked * n,
      end: Math.max(count, (asked ?? 0) * n), // where on the axis there is room for text
      size: `${images(count)}, ${percent(count / n)}` +
        (asked === undefined ? "" : ` (asked ${percent(asked)})`),
      positives: `${positives.toLocaleString("en-GB")} positive, ${percent(positives / count)}`,
    };
  });
  const asked: LegendItem = { label: "asked for", color: colors.ink, mark: "tick" };
  const text = { x: "end", y: "subset", textAnchor: "start", dx: 10, fontSize: 12 } as const;
  const panel = plotPanel({
    width: contentWidth(options),
    height: 62 * subsets.length + 48,
    margins: [4, 212, 42, 78],
    x: { ...titled("Images"), grid: true },
    y: { label: null, domain: subsets.map(({ subset }) => subset), padding: 0.4 },
    color: colorScale(classes),
    marks: [
      Plot.axisY({
        fontSize: 12,
        tickSize: 0,
        label: null,
        tickFormat: (subset: string) => subset.replaceAll("_", " "),
      }),
      Plot.barX(rows, { x: "count", y: "subset", fill: ofClass, order: classes.map(classLabel) }),
      Plot.tickX(subsets, { x: "asked", y: "subset", stroke: colors.ink, strokeWidth: 2.5 }),
      Plot.text(subsets, { ...text, text: "size", dy: -8 }),
      Plot.text(subsets, { ...text, text: "positives", dy: 8, fill: colors.muted }),
      Plot.ruleX([0], { stroke: colors.ink }),
    ],
  });
  return card({
    title: subsets.some(({ subset }) => isFold(subset))
      ? "Split into folds"
      : "Split into training, validation and test images",
    subtitle: runLine(run, n),
    legend: [
      ...classLegend(classes, "area"),
      ...(Object.keys(requested).length === 0 ? [] : [asked]),
    ],
    rows: [[panel]],
  }, options);
}
