import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { createRandom, type Random } from "../../lib/core/random.ts";
import type { Config, Monitor } from "../../lib/core/settings.ts";
import { type HistoryRow, lowerIsBetter } from "../../lib/run/history.ts";
import {
  endEpoch,
  isImprovement,
  startState,
  stepPlateau,
  stepStopping,
} from "../../lib/training/callbacks.ts";
import { askPython } from "../ask_python.ts";

type Options = Config["training"];

type Plateau = Options["reduceLROnPlateau"];

type Stopping = Options["earlyStopping"];

const DEFAULTS = parseConfig({}).training;

const START = startState(1e-3);

const MONITORS: Monitor[] = ["val_loss", "val_accuracy", "val_auc"];

/** Learning rates in force after each epoch. */
function rates(values: (number | null)[], options: Partial<Plateau>, start = 1): number[] {
  let state = startState(start).plateau;
  return values.map((value) => {
    state = stepPlateau(state, value, { ...DEFAULTS.reduceLROnPlateau, ...options });
    return state.learningRate;
  });
}

/** Epochs that improved, and the one that stopped training. */
function stops(
  values: (number | null)[],
  options: Partial<Stopping>,
): { improved: number[]; stopped: number | null } {
  const settings = { ...DEFAULTS.earlyStopping, ...options };
  let state = START.stopping;
  const improved: number[] = [];
  for (const [index, value] of values.entries()) {
    state = stepStopping(state, index + 1, value, settings);
    if (state.bestEpoch === index + 1) improved.push(index + 1);
    if (state.wait >= settings.patience) return { improved, stopped: index + 1 };
  }
  return { improved, stopped: null };
}

Deno.test("isImprovement() compares by more than minDelta, in the monitor's direction", () => {
  assert.deepEqual(MONITORS.map(lowerIsBetter), [true, false, false]);
  assert.equal(isImprovement(5, null, "val_loss"), true);
  assert.equal(isImprovement(0.5, 0.5, "val_loss"), false);
  assert.equal(isImprovement(0.4, 0.5, "val_loss"), true);
  assert.equal(isImprovement(0.4, 0.5, "val_auc"), false);
  assert.equal(isImprovement(0.375, 0.5, "val_loss", 0.125), false);
  assert.equal(isImprovement(0.625, 0.5, "val_auc", 0.125), false);
  assert.equal(isImprovement(0.626, 0.5, "val_auc", 0.125), true);
  assert.equal(isImprovement(NaN, 0.5, "val_loss"), false);
  assert.equal(isImprovement(0.5 - 1e-12, 0.5, "val_loss"), false, "equal as 32-bit floats");
});

Deno.test("stepPlateau() reduces after `patience` epochs without improvement, and counts anew", () => {
  const values = [1, 0.5, 0.5, 0.6, 0.5, 0.5, 0.4, 0.4, 0.4, 0.4];
  assert.deepEqual(
    rates(values, { factor: 0.5, patience: 2 }),
    [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125],
  );
});

Deno.test("stepPlateau() needs more than minDelta", () => {
  const values = [1, 0.9375, 0.875, 0.8125];
  assert.deepEqual(rates(values, { factor: 0.5, patience: 1, minDelta: 0.125 }), [
    1,
    0.5, // by half of minDelta
    0.25, // by just minDelta
    0.25, // by more than it, from the best of epoch 1
  ]);
});

Deno.test("stepPlateau() waits through its cool-down, whose last epoch counts again", () => {
  const values = Array<number>(10).fill(1);
  assert.deepEqual(
    rates(values, { factor: 0.5, patience: 2, cooldown: 3 }),
    // reduced at epoch 3; 4 and 5 cool down, 6 and 7 are waited for
    [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25],
  );
});

Deno.test("stepPlateau() stops at the least rate, as a 32-bit float", () => {
  const values = Array<number>(6).fill(1);
  const seen = rates(values, { patience: 1, minLearningRate: 1e-6 }, 1e-4);
  assert.deepEqual(seen, [1e-4, 1e-5, 1e-6, 1e-6, 1e-6, 1e-6].map(Math.fround));
  const least = 3e-4; // as a 32-bit float it is a little more than as a 64-bit one
  const last = stepPlateau(
    { learningRate: Math.fround(least), best: 1, wait: 5, cooldown: 0 },
    1,
    { ...DEFAULTS.reduceLROnPlateau, minLearningRate: least, cooldown: 2 },
  );
  assert.deepEqual([last.learningRate, last.cooldown], [Math.fround(least), 0]);
});

Deno.test("stepPlateau() and stepStopping() pass over an epoch without a value", () => {
  assert.deepEqual(rates([1, null, null, 1, 1], { factor: 0.5, patience: 2 }), [1, 1, 1, 1, 0.5]);
  assert.deepEqual(stops([1, null, null, null, 1], { patience: 2 }), {
    improved: [1],
    stopped: null,
  });
});

Deno.test("stepStopping() stops `patience` epochs after the best", () => {
  assert.deepEqual(stops([3, 2, 2, 1, 1, 1.5, 0.5], { patience: 2 }), {
    improved: [1, 2, 4],
    stopped: 6,
  });
  assert.deepEqual(stops([3, 2, 1, 0], { patience: 1 }), { improved: [1, 2, 3, 4], stopped: null });
  assert.deepEqual(stops([1, 1], { patience: 1 }), { improved: [1], stopped: 2 });
  assert.deepEqual(stops([0.5, 0.75, 0.75, 0.7], { patience: 2, monitor: "val_auc" }), {
    improved: [1, 2],
    stopped: 4,
  });
});

function row(epoch: number, values: Partial<HistoryRow>): HistoryRow {
  return {
    epoch,
    loss: 0,
    accuracy: 0,
    auc: 0,
    val_loss: 0,
    val_accuracy: 0,
    val_auc: 0,
    learning_rate: 0,
    seconds: 0,
    ...values,
  };
}

Deno.test("endEpoch() runs the three callbacks, each with its own monitor, and tells what they did", () => {
  const options: Options = {
    ...DEFAULTS,
    checkpoint: { monitor: "val_auc", minutes: 10 },
    reduceLROnPlateau: { ...DEFAULTS.reduceLROnPlateau, patience: 1 },
    earlyStopping: { ...DEFAULTS.earlyStopping, monitor: "val_accuracy", patience: 2 },
  };
  const trace = [
    { val_loss: 1, val_accuracy: 0.8, val_auc: 0.5 },
    { val_loss: 2, val_accuracy: 0.7, val_auc: 0.6 },
    { val_loss: 0.5, val_accuracy: 0.8, val_auc: 0.55 },
  ];
  const before = structuredClone(START);
  let state = START;
  const seen = trace.map((values, index) => {
    const epoch = index + 1;
    state = endEpoch(state, row(epoch, values), options);
    const { best, stopping, stopped, plateau } = state;
    return [best.epoch === epoch, stopping.bestEpoch === epoch, stopped, plateau.learningRate];
  });
  assert.deepEqual(START, before, "pure");
  assert.deepEqual(seen, [
    [true, true, false, Math.fround(1e-3)],
    [true, false, false, Math.fround(0.1 * Math.fround(1e-3))],
    [false, false, true, Math.fround(0.1 * Math.fround(1e-3))],
  ]);
  assert.deepEqual(state.events, [
    { epoch: 1, kind: "checkpoint", note: "best val_auc 0.5000" },
    { epoch: 2, kind: "checkpoint", note: "best val_auc 0.6000" },
    { epoch: 2, kind: "reduce_lr", note: "learning rate 1e-3 → 1e-4" },
    { epoch: 3, kind: "early_stopping", note: "no better val_accuracy for 2 epochs" },
  ]);
  assert.deepEqual([state.epoch, state.best, state.stopping.bestEpoch], [
    3,
    { value: 0.6, epoch: 2 },
    1,
  ]);
  assert.deepEqual(state.history.map(({ epoch }) => epoch), [1, 2, 3]);
});

Deno.test("endEpoch() keeps an epoch whose monitored score is undefined, so that there is a model", () => {
  const options: Options = { ...DEFAULTS, checkpoint: { monitor: "val_auc", minutes: 10 } };
  const first = endEpoch(START, row(1, { val_auc: null }), options);
  const second = endEpoch(first, row(2, { val_auc: null }), options);
  assert.deepEqual([first.best, second.best], [1, 2].map((epoch) => ({ value: null, epoch })));
  assert.equal(second.events.at(-1)?.note, "no val_auc: kept");
});

/** One training as both are asked to follow it. */
interface Trace {
  options: Pick<Options, "checkpoint" | "reduceLROnPlateau" | "earlyStopping">;
  learningRate: number;
  rows: Record<Monitor, number>[];
}

/** What was decided, an epoch at a time. */
interface Decisions {
  learningRates: number[];
  saved: number[];
  /** Epochs that were trained: up to the one that stopped. */
  epochs: number;
  /** Epoch whose weights training ends with. */
  restored: number;
}

Deno.test("endEpoch() takes Keras' decisions on 300 random traces with random settings", async () => {
  const traces = Array.from({ length: 300 }, (_, i) => randomTrace(createRandom(`trace/${i}`)));
  const expected = await askPython(
    join(import.meta.dirname!, "callbacks_oracle.py"),
    traces,
  ) as Decisions[];
  const seen = { reduced: 0, stopped: 0, restoredEarlier: 0, notSaved: 0 };
  for (const [index, trace] of traces.entries()) {
    const ours = decide(trace);
    assert.deepEqual(ours, expected[index], `trace ${index}: ${JSON.stringify(trace)}`);
    if (new Set(ours.learningRates).size > 1) seen.reduced += 1;
    if (ours.epochs < trace.rows.length) seen.stopped += 1;
    if (ours.restored < ours.epochs) seen.restoredEarlier += 1;
    if (ours.saved.length < ours.epochs) seen.notSaved += 1;
  }
  for (const [what, count] of Object.entries(seen)) {
    assert.ok(count > 50, `too few traces to tell: ${what} in ${count}`);
  }
});

/** Values on a coarse grid, so that ties and changes of just minDelta are common. */
function randomTrace(random: Random): Trace {
  const pick = <T>(items: readonly T[]): T => items[random.integer(items.length)]!;
  const grid = pick([0.25, 0.05, 0.01, 1e-4]);
  const shareOfNaN = pick([0, 0, 0, 0.2]);
  const value = () => {
    if (random.next() < shareOfNaN) return NaN;
    return pick([1, 1, 1, -1]) * Math.round(random.next() / grid) * grid;
  };
  return {
    options: {
      checkpoint: { monitor: pick(MONITORS), minutes: 10 },
      reduceLROnPlateau: {
        monitor: pick(MONITORS),
        factor: pick([0.1, 0.5, 0.3, 0.9]),
        patience: 1 + random.integer(4),
        minDelta: pick([0, 1e-4, 0.01, 0.05, 0.25]),
        cooldown: random.integer(4),
        minLearningRate: pick([0, 1e-6, 1e-5, 1e-4, 3e-4]),
      },
      earlyStopping: {
        monitor: pick(MONITORS),
        patience: 1 + random.integer(8),
        minDelta: pick([0, 0, 1e-4, 0.05]),
        restoreBest: random.next() < 0.7,
      },
    },
    learningRate: pick([1e-3, 1e-4, 0.01, 3e-4]),
    rows: Array.from({ length: 5 + random.integer(26) }, () => ({
      val_loss: value(),
      val_accuracy: value(),
      val_auc: value(),
    })),
  };
}

function decide({ options, learningRate, rows }: Trace): Decisions {
  let state = startState(learningRate);
  const result: Decisions = { learningRates: [], saved: [], epochs: 0, restored: 0 };
  let best: number | null = null;
  for (const [index, values] of rows.entries()) {
    const epoch = index + 1;
    state = endEpoch(state, row(epoch, values), { ...DEFAULTS, ...options });
    result.learningRates.push(state.plateau.learningRate);
    if (state.best.epoch === epoch) result.saved.push(epoch);
    if (options.earlyStopping.restoreBest) best = state.stopping.bestEpoch;
    result.epochs = epoch;
    if (state.stopped) break;
  }
  result.restored = best ?? result.epochs;
  return result;
}
