import * as Plot from "@observablehq/plot";
import { extent, max, min, range, sum } from "d3-array";
import type { HistoryRow, TrainingEvent } from "../run/history.ts";
import type { RangeTest } from "../training/learning_rate.ts";
import {
  card,
  type ChartOptions,
  colors,
  contentWidth,
  counted,
  type Figure,
  halfWidth,
  type Panel,
  plotPanel,
  REFERENCE_LINE,
  titled,
} from "./card.ts";

/** Where each callback is marked, on the curve it watched or acted on, and how. */
const EVENTS = {
  checkpoint: { panel: "loss", label: "checkpoint saved", mark: "circle", symbol: "circle" },
  reduce_lr: {
    panel: "learning_rate",
    label: "learning rate reduced",
    mark: "triangle",
    symbol: "triangle",
  },
  unfreeze: { panel: "learning_rate", label: "warm-up over", mark: "area", symbol: "square" },
  early_stopping: { panel: "loss", label: "stopped early", mark: "cross", symbol: "times" },
} as const;

const QUANTITIES = {
  loss: "Loss (cross-entropy)",
  accuracy: "Accuracy",
  auc: "AUC of the positive class",
  learning_rate: "Learning rate",
};

const ROWS = [["loss", "accuracy"], ["auc", "learning_rate"]] as const;

/** A training as charts draw it. */
export interface DrawnTraining {
  /** As in history.csv; may still be growing. */
  history: readonly HistoryRow[];
  /** As in training_events.csv. */
  events: readonly TrainingEvent[];
  run: string;
  /** Most epochs there can be (in a fold), so that a growing chart keeps its axis. */
  epochs?: number;
}

/**
 * Loss, accuracy, AUC and learning rate by epoch, training against validation, with what the
 * callbacks did and the epoch whose weights are kept.
 */
export function learningCurves(
  { history, events, run, epochs = 1 }: DrawnTraining,
  options: ChartOptions = {},
): Figure {
  const last = Math.max(epochs, history.at(-1)?.epoch ?? 1);
  const saved = events.findLast(({ kind }) => kind === "checkpoint");
  const best = history.find(({ epoch }) => epoch === saved?.epoch);
  const kinds = new Set<string>(events.map(({ kind }) => kind));
  const seconds = sum(history, (row) => row.seconds);
  return card({
    title: "Learning curves",
    subtitle: `Run ${run} · ${counted(history.length, "epoch")}` +
      (history.length > 0 ? ` · ${seconds.toFixed(0)} s` : ""),
    legend: [
      { label: "training", color: colors.training, mark: "line" },
      { label: "validation", color: colors.validation, mark: "line" },
      ...(best ? [{ label: "kept epoch", color: colors.accent, mark: "dashed" as const }] : []),
      ...Object.entries(EVENTS).filter(([kind]) => kinds.has(kind))
        .map(([, { label, mark }]) => ({ label, color: colors.ink, mark })),
    ],
    rows: ROWS.map((row) =>
      row.map((name) => panel(name, { history, events, last, best, width: halfWidth(options) }))
    ),
    note: best
      ? `Kept: epoch ${best.epoch}, validation loss ${best.val_loss.toFixed(4)}, accuracy ` +
        `${best.val_accuracy.toFixed(4)}, AUC ${best.val_auc?.toFixed(4) ?? "undefined"}.`
      : "",
  }, options);
}

function panel(
  name: keyof typeof QUANTITIES,
  { history, events, last, best, width }: {
    history: readonly HistoryRow[];
    events: readonly TrainingEvent[];
    last: number;
    best: HistoryRow | undefined;
    width: number;
  },
): Panel {
  const validation = name === "learning_rate" ? null : `val_${name}` as const;
  const shown = validation ?? name;
  const scale = validation ? linearScale : rateScale;
  const values = history.flatMap((row) => [row[name], row[shown]]).filter((v) => v !== null);
  return epochPanel({
    width,
    height: 210,
    last,
    y: { label: QUANTITIES[name], ...scale(values) },
    marks: [
      Plot.ruleX(best ? [best.epoch] : [], {
        ...REFERENCE_LINE,
        stroke: colors.accent,
        strokeWidth: 1.5,
      }),
      curve(history, name, validation ? colors.training : colors.ink),
      validation ? curve(history, validation, colors.validation) : null,
      ...eventDots(history, events, name, shown),
    ],
  });
}

/** A chart over the epochs from 1 to `last`, its vertical axis titled above it. */
export function epochPanel(
  { last, y, ...options }: Omit<Parameters<typeof plotPanel>[0], "margins"> & { last: number },
): Panel {
  const end = Math.max(2, last);
  return plotPanel({
    ...options,
    margins: [26, 10, 38, 52],
    x: {
      ...titled("Epoch"),
      domain: [1, end],
      inset: 6,
      ticks: Math.min(end - 1, 8),
      tickFormat: (epoch: number) => Number.isInteger(epoch) ? String(epoch) : "",
    },
    y: { ...ABOVE, ...y },
  });
}

/** Of a vertical axis whose title stands above it. */
const ABOVE = { labelArrow: "none", grid: true } as const;

/** One line; of a single epoch, which makes no line, a dot. */
function curve(
  history: readonly HistoryRow[],
  quantity: keyof HistoryRow,
  stroke: string,
): Plot.Markish {
  if (history.length === 1) return Plot.dot(history, { x: "epoch", y: quantity, fill: stroke });
  const shape = quantity === "learning_rate" ? "step-before" : "linear";
  return Plot.lineY(history, { x: "epoch", y: quantity, stroke, strokeWidth: 2, curve: shape });
}

function linearScale(values: readonly number[]): Plot.ScaleOptions {
  const [low = 0, high = 1] = extent(values);
  const domain = high > low ? [low, high] : [low - 0.05, high + 0.05];
  return { nice: true, ticks: 5, domain };
}

/** Half a decade around the values: a constant rate is a line in the middle, near a power of ten. */
function rateScale(values: readonly number[]): Plot.ScaleOptions {
  const half = Math.sqrt(10);
  const [low, high] = values.length === 0
    ? [1e-6, 1e-3]
    : [min(values)! / half, max(values)! * half];
  return { type: "log", domain: [low, high], ...rateTicks(low, high) };
}

function rateTicks(low: number, high: number): Plot.ScaleOptions {
  return { ticks: decades(low, high), tickFormat: (rate: number) => rate.toExponential(0) };
}

/** Ticks of a logarithmic axis: the powers of ten within a range, each times every factor. */
export function decades(low: number, high: number, factors: readonly number[] = [1]): number[] {
  return range(Math.floor(Math.log10(low)), Math.floor(Math.log10(high)) + 1)
    .flatMap((power) => factors.map((factor) => Number(`${factor}e${power}`)))
    .filter((tick) => tick >= low && tick <= high);
}

/** The callbacks' symbols of one panel, each on the curve `shown` at its epoch. */
function eventDots(
  history: readonly HistoryRow[],
  events: readonly TrainingEvent[],
  name: keyof typeof QUANTITIES,
  shown: keyof HistoryRow,
): Plot.Dot[] {
  return Object.entries(EVENTS).filter(([, { panel }]) => panel === name)
    .map(([kind, { symbol }]) => {
      const epochs = events.filter((event) => event.kind === kind).map(({ epoch }) => epoch);
      return Plot.dot(history.filter(({ epoch }) => epochs.includes(epoch)), {
        x: "epoch",
        y: shown,
        r: symbol === "times" ? 6 : 3.5,
        symbol,
        rotate: symbol === "triangle" ? 180 : 0,
        ...(symbol === "times" ? { stroke: colors.ink, strokeWidth: 2 } : { fill: colors.ink }),
      });
    });
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
  options: ChartOptions = {},
): Figure {
  const suggested = suggestion.learningRate;
  const rates = [...points.map((point) => point.learningRate), learningRate];
  const [low, high] = [min(rates)!, max(rates)!];
  const x = { x: "learningRate" };
  const top = 1.3 * Math.max(...points.slice(0, 20).map(({ loss }) => loss), 0.1);
  const panel = plotPanel({
    width: contentWidth(options),
    height: 260,
    margins: [26, 14, 38, 52],
    x: {
      ...titled("Learning rate"),
      type: "log",
      domain: [low, high],
      inset: 6,
      ...rateTicks(low * (1 - 1e-9), high * (1 + 1e-9)), // the ends may be rounded powers of ten
    },
    y: { ...ABOVE, label: "Loss (cross-entropy)", domain: [0, top], clamp: true, ticks: 5 },
    marks: [
      Plot.ruleX([learningRate], { ...REFERENCE_LINE, stroke: colors.ink, strokeWidth: 1.5 }),
      Plot.ruleX([suggested ?? NaN], { stroke: colors.positive, strokeWidth: 2 }),
      Plot.dot(points, { ...x, y: "loss", r: 2, fill: colors.muted, fillOpacity: 0.6 }),
      Plot.lineY(points, { ...x, y: "smoothed", stroke: colors.validation, strokeWidth: 2.5 }),
    ],
  });
  const now = `now ${Number(learningRate.toPrecision(3)).toExponential()}`;
  const label = `suggestion ${suggested?.toExponential()}`;
  return card({
    title: "Learning rate range test",
    subtitle: `Run ${run} · ${points.length} steps · ${seconds.toFixed(0)} s`,
    legend: [
      { label: "loss of a step", color: colors.muted, mark: "circle" },
      { label: "moving average", color: colors.validation, mark: "line" },
      { label: now, color: colors.ink, mark: "dashed" },
      ...(suggested === null ? [] : [{ label, color: colors.positive, mark: "line" as const }]),
    ],
    rows: [[panel]],
    note: suggestion.reason,
  }, options);
}
