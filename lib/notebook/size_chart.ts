import * as Plot from "@observablehq/plot";
import { images } from "../in_words.ts";
import { card, CONTENT_WIDTH } from "./card.ts";
import type { Figure } from "./figure.ts";
import { type Panel, plotPanel, titled } from "./panel.ts";
import { classColors, classLabel, colors } from "./theme.ts";

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
export interface SizeRow {
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
