import * as Plot from "@observablehq/plot";
import { images } from "../in_words.ts";
import type { CurveBand, CurveSample } from "../metrics/curve_band.ts";
import type { LegendItem } from "./card.ts";
import { BAND_OPACITY, colors, thresholdText } from "./theme.ts";

/** What a ROC or precision-recall chart is drawn from. */
export interface CurveInput extends CurveSample {
  /**
   * At or above it an image is called positive; `null` with more than two classes, where the most
   * probable one is the answer.
   */
  threshold: number | null;
  run: string;
}

/** Title and subtitle with run and numbers. */
export function curveHeading(
  title: string,
  { labels, run }: Pick<CurveInput, "labels" | "run">,
): { title: string; subtitle: string } {
  const positives = labels.filter((label) => label === 1).length;
  return {
    title,
    subtitle: `Run ${run} · n = ${images(labels.length)}, ${positives} positive`,
  };
}

/** The band, to be drawn below its curve. */
export function bandMark({ points }: CurveBand): Plot.Markish {
  return Plot.areaY(points, {
    x: "x",
    y1: "low",
    y2: "high",
    fill: colors.negative,
    fillOpacity: BAND_OPACITY,
  });
}

/** The legend of a curve: the model with its area, the band, chance and the operating point. */
export function curveLegend(
  { area, band, chance, threshold }: {
    /** "AUC 0.933". */
    area: string;
    band: CurveBand;
    /** What a useless model has. */
    chance: string;
    threshold: number | null;
  },
): LegendItem[] {
  const { low, high } = band.area;
  const interval = low === null || high === null
    ? ""
    : `, 95 % interval ${low.toFixed(3)} to ${high.toFixed(3)}`;
  return [
    { label: `model (${area}${interval})`, color: colors.negative, mark: "line" },
    ...(band.points.length === 0
      ? []
      : [{ label: "95 % band", color: colors.band, mark: "area" } satisfies LegendItem]),
    { label: chance, color: colors.muted, mark: "dashed" },
    ...(threshold === null ? [] : [
      {
        label: `threshold ${thresholdText(threshold)}`,
        color: colors.positive,
        mark: "circle",
      } satisfies LegendItem,
    ]),
  ];
}

/** How the band was found, or why there is none. */
export function bandNote({ points, area, method }: CurveBand): string {
  return points.length > 0
    ? `Band and interval: ${method}; the band point by point.`
    : `No band: ${area.reason}.`;
}
