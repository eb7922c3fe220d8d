import * as Plot from "@observablehq/plot";
import type { RangeTest } from "../training/find_learning_rate.ts";
import { card, CONTENT_WIDTH, type LegendItem } from "./card.ts";
import type { Figure } from "./figure.ts";
import { plotPanel, titled } from "./panel.ts";
import { colors } from "./theme.ts";

/**
 * A learning rate range test: the loss of each step and its moving average over the learning rate,
 * with the suggestion and the rate that the config has now. The axis ends a little above where the
 * curve began, so that the fall can be seen beside the rise; what is higher is drawn at the edge.
 *
 * @param learningRate `config.training.learningRate`.
 */
export function learningRateChart(
  { points, suggestion, seconds, learningRate, run }: RangeTest & {
    learningRate: number;
    run: string;
  },
): Figure {
  const suggested = suggestion.learningRate;
  return card({
    title: "Learning rate range test",
    subtitle: `Run ${run} · ${points.length} steps · ${seconds.toFixed(0)} s`,
    legend: [
      { label: "loss of a step", color: colors.muted, mark: "circle" },
      { label: "moving average", color: colors.validation, mark: "line" },
      ...(suggested === null ? [] : [
        {
          label: `suggestion ${suggested.toExponential()}`,
          color: colors.positive,
          mark: "line",
        } satisfies LegendItem,
      ]),
      { label: `now ${shortRate(learningRate)}`, color: colors.ink, mark: "dashed" },
    ],
    rows: [[chart(points, suggested, learningRate)]],
    note: suggestion.reason,
  });
}

function chart(points: RangeTest["points"], suggested: number | null, now: number) {
  const rates = [...points.map((point) => point.learningRate), now];
  const [low, high] = [Math.min(...rates), Math.max(...rates)];
  const top = 1.3 * Math.max(...points.slice(0, 20).map(({ loss }) => loss), 0.1);
  const rule = (rate: number, options: Plot.RuleXOptions) => Plot.ruleX([rate], options);
  return plotPanel({
    width: CONTENT_WIDTH,
    height: 260,
    marginLeft: 52,
    marginRight: 14,
    marginTop: 26,
    marginBottom: 38,
    x: {
      ...titled("Learning rate"),
      type: "log",
      domain: [low, high],
      inset: 6,
      ticks: powersOfTen(low, high),
      tickFormat: (rate: number) => rate.toExponential(0),
    },
    y: {
      label: "Loss (cross-entropy)",
      labelArrow: "none",
      grid: true,
      domain: [0, top],
      clamp: true,
      ticks: 5,
    },
    marks: [
      rule(now, { stroke: colors.ink, strokeWidth: 1.5, strokeDasharray: "4 3" }),
      ...(suggested === null ? [] : [rule(suggested, { stroke: colors.positive, strokeWidth: 2 })]),
      Plot.dot(points, {
        x: "learningRate",
        y: "loss",
        r: 2,
        fill: colors.muted,
        fillOpacity: 0.6,
      }),
      Plot.lineY(points, {
        x: "learningRate",
        y: "smoothed",
        stroke: colors.validation,
        strokeWidth: 2.5,
      }),
    ],
  });
}

function powersOfTen(low: number, high: number): number[] {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const count = Math.floor(Math.log10(high) + 1e-9) - first + 1;
  return Array.from({ length: Math.max(count, 0) }, (_, i) => Number(`1e${first + i}`));
}

function shortRate(rate: number): string {
  return Number(rate.toPrecision(3)).toExponential();
}
