import * as Plot from "@observablehq/plot";
import type { ScaleOptions } from "@observablehq/plot";
import type { HistoryRow, TrainingEvent } from "../run/history.ts";
import type { RangeTest } from "../training/learning_rate.ts";
import {
  card,
  colors,
  CONTENT_WIDTH,
  type Figure,
  GAP,
  type LegendItem,
  type Panel,
  plotPanel,
  titled,
} from "./card.ts";

const PANEL_WIDTH = (CONTENT_WIDTH - GAP) / 2;

/** Where each callback is marked, on the curve it watched or acted on, and how. */
const eventMarks = {
  checkpoint: { panel: "loss", label: "checkpoint saved", legend: "circle", symbol: "circle" },
  reduce_lr: {
    panel: "learning_rate",
    label: "learning rate reduced",
    legend: "triangle",
    symbol: "triangle",
  },
  unfreeze: {
    panel: "learning_rate",
    label: "warm-up over",
    legend: "area",
    symbol: "square",
  },
  early_stopping: { panel: "loss", label: "stopped early", legend: "cross", symbol: "times" },
} as const;

/**
 * Loss, accuracy, AUC and learning rate by epoch, training against validation, with what the
 * callbacks did and the epoch whose weights are kept.
 *
 * @param history As in history.csv; may still be growing.
 * @param events As in training_events.csv.
 * @param epochs Most epochs there can be, so that a growing chart keeps its axis.
 */
export function learningCurves(
  { history, events, run, epochs }: {
    history: readonly HistoryRow[];
    events: readonly TrainingEvent[];
    run: string;
    epochs?: number;
  },
): Figure {
  const last = Math.max(epochs ?? 1, history.at(-1)?.epoch ?? 1, 2);
  const best = bestEpoch(history, events);
  const shared = { history, events, last, best: best?.epoch };
  const rows = [
    [
      panel({ ...shared, name: "loss", label: "Loss (cross-entropy)", validation: "val_loss" }),
      panel({ ...shared, name: "accuracy", label: "Accuracy", validation: "val_accuracy" }),
    ],
    [
      panel({ ...shared, name: "auc", label: "AUC of the positive class", validation: "val_auc" }),
      panel({ ...shared, name: "learning_rate", label: "Learning rate" }),
    ],
  ];
  const kinds = new Set(events.map((event) => event.kind));
  const legend: LegendItem[] = [
    { label: "training", color: colors.training, mark: "line" },
    { label: "validation", color: colors.validation, mark: "line" },
    ...(best ? [{ label: "kept epoch", color: colors.accent, mark: "dashed" as const }] : []),
    ...Object.entries(eventMarks).filter(([kind]) => kinds.has(kind as TrainingEvent["kind"]))
      .map(([, { label, legend }]) => ({ label, color: colors.ink, mark: legend })),
  ];
  const seconds = history.reduce((sum, row) => sum + row.seconds, 0);
  return card({
    title: "Learning curves",
    subtitle: `Run ${run} · ${history.length} epoch${history.length === 1 ? "" : "s"}` +
      (history.length > 0 ? ` · ${seconds.toFixed(0)} s` : ""),
    legend,
    rows,
    ...(best
      ? {
        note: `Kept: epoch ${best.epoch}, validation loss ${best.val_loss.toFixed(4)}, accuracy ` +
          `${best.val_accuracy.toFixed(4)}, AUC ${best.val_auc?.toFixed(4) ?? "undefined"}.`,
      }
      : {}),
  });
}

/** The epoch of the last checkpoint: the model that is kept. */
function bestEpoch(
  history: readonly HistoryRow[],
  events: readonly TrainingEvent[],
): HistoryRow | undefined {
  const saved = events.findLast((event) => event.kind === "checkpoint");
  return history.find((row) => row.epoch === saved?.epoch);
}

type Quantity = "loss" | "accuracy" | "auc" | "learning_rate";

function panel(
  { history, events, last, best, name, label, validation }: {
    history: readonly HistoryRow[];
    events: readonly TrainingEvent[];
    last: number;
    best: number | undefined;
    name: Quantity;
    label: string;
    validation?: "val_loss" | "val_accuracy" | "val_auc";
  },
): Panel {
  const shown = validation ?? name;
  const values = history.flatMap((row) => [row[name], row[shown]]).filter((v) => v !== null);
  return plotPanel({
    width: PANEL_WIDTH,
    height: 210,
    marginLeft: 52,
    marginRight: 10,
    marginTop: 26,
    marginBottom: 38,
    x: epochAxis(last),
    y: { label, labelArrow: "none", grid: true, ...scale(name, values) },
    marks: [
      Plot.ruleX(best === undefined ? [] : [best], {
        stroke: colors.accent,
        strokeWidth: 1.5,
        strokeDasharray: "4 3",
      }),
      ...curve(history, name, validation ? colors.training : colors.ink),
      ...(validation ? curve(history, validation, colors.validation) : []),
      ...eventDots(history, events, name, shown),
    ],
  });
}

/** One line; of a single epoch, which makes no line, a dot. */
function curve(
  history: readonly HistoryRow[],
  quantity: keyof HistoryRow,
  stroke: string,
): Plot.Markish[] {
  if (history.length === 1) return [Plot.dot(history, { x: "epoch", y: quantity, fill: stroke })];
  const shape = quantity === "learning_rate" ? "step-before" : "linear";
  return [Plot.lineY(history, { x: "epoch", y: quantity, stroke, strokeWidth: 2, curve: shape })];
}

/** The vertical scale: decades for the learning rate, else what the values need. */
function scale(name: Quantity, values: readonly number[]): Plot.ScaleOptions {
  if (name !== "learning_rate") return { nice: true, ticks: 5, domain: range(values) };
  const domain = logDomain(values);
  const tickFormat = (rate: number) => rate.toExponential(0);
  return { type: "log", domain, ticks: powersOfTen(domain), tickFormat };
}

/** The callbacks' symbols of one panel, each on the curve `shown` at its epoch. */
function eventDots(
  history: readonly HistoryRow[],
  events: readonly TrainingEvent[],
  name: Quantity,
  shown: keyof HistoryRow,
): Plot.Dot[] {
  return Object.entries(eventMarks).filter(([, mark]) => mark.panel === name)
    .map(([kind, { symbol }]) => {
      const epochs = events.filter((event) => event.kind === kind).map((event) => event.epoch);
      return Plot.dot(history.filter((row) => epochs.includes(row.epoch)), {
        x: "epoch",
        y: shown,
        r: symbol === "times" ? 6 : 3.5,
        symbol,
        rotate: symbol === "triangle" ? 180 : 0,
        ...(symbol === "times" ? { stroke: colors.ink, strokeWidth: 2 } : { fill: colors.ink }),
      });
    });
}

/** From the smallest to the largest value, never of no height. */
function range(values: readonly number[]): [number, number] {
  if (values.length === 0) return [0, 1];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return high > low ? [low, high] : [low - 0.05, high + 0.05];
}

/** Half a decade around the values: a constant rate is a line in the middle, near a power of ten. */
function logDomain(values: readonly number[]): [number, number] {
  if (values.length === 0) return [1e-6, 1e-3];
  const half = Math.sqrt(10);
  return [Math.min(...values) / half, Math.max(...values) * half];
}

/** The powers of ten within a domain: the only lines that a logarithmic axis needs here. */
function powersOfTen([low, high]: [number, number]): number[] {
  const first = Math.ceil(Math.log10(low));
  const count = Math.floor(Math.log10(high)) - first + 1;
  return Array.from({ length: count }, (_, i) => Number(`1e${first + i}`));
}

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
      ticks: powersOfTenBetween(low, high),
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

function powersOfTenBetween(low: number, high: number): number[] {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const count = Math.floor(Math.log10(high) + 1e-9) - first + 1;
  return Array.from({ length: Math.max(count, 0) }, (_, i) => Number(`1e${first + i}`));
}

function shortRate(rate: number): string {
  return Number(rate.toPrecision(3)).toExponential();
}

/**
 * An axis of epochs from 1 on, with whole numbers alone.
 *
 * @param last The last epoch, at least 2.
 */
export function epochAxis(last: number): ScaleOptions {
  return {
    ...titled("Epoch"),
    domain: [1, last],
    inset: 6,
    ticks: Math.min(last - 1, 8),
    tickFormat: (epoch: number) => Number.isInteger(epoch) ? String(epoch) : "",
  };
}
