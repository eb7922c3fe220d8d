import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { createRandom, type Random } from "../../lib/core/random.ts";
import type { Config, Monitor } from "../../lib/core/settings.ts";
import type { HistoryRow } from "../../lib/run/history.ts";
import {
  addBatch,
  endEpoch,
  noScores,
  scoresOf,
  startState,
  watchDivergence,
} from "../../lib/training/callbacks.ts";
import { askPython } from "../ask_python.ts";

type Options = Config["training"];

const DEFAULTS = parseConfig({}).training;

const START = startState(1e-3);

const MONITORS: Monitor[] = ["val_loss", "val_accuracy", "val_auc"];

function row(epoch: number, values: Partial<HistoryRow>): HistoryRow {
  const zeros = { loss: 0, accuracy: 0, auc: 0, val_loss: 0, val_accuracy: 0, val_auc: 0 };
  return { epoch, ...zeros, learning_rate: 0, seconds: 0, ...values };
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
  for (const [i, values] of trace.entries()) state = endEpoch(state, row(i + 1, values), options);
  assert.deepEqual(START, before, "pure");
  assert.equal(state.plateau.learningRate, Math.fround(0.1 * Math.fround(1e-3)));
  assert.deepEqual(state.events, [
    { epoch: 1, kind: "checkpoint", note: "best val_auc 0.5000" },
    { epoch: 2, kind: "checkpoint", note: "best val_auc 0.6000" },
    { epoch: 2, kind: "reduce_lr", note: "learning rate 1e-3 → 1e-4" },
    { epoch: 3, kind: "early_stopping", note: "no better val_accuracy for 2 epochs" },
  ]);
  assert.deepEqual(state.best, { value: 0.6, epoch: 2 });
  assert.deepEqual([state.epoch, state.stopping.bestEpoch, state.stopped], [3, 1, true]);
  assert.deepEqual(state.history.map(({ epoch }) => epoch), [1, 2, 3]);
});

Deno.test("endEpoch() keeps an epoch whose monitored score is undefined, so that there is a model", () => {
  const options: Options = { ...DEFAULTS, checkpoint: { monitor: "val_auc", minutes: 10 } };
  const first = endEpoch(START, row(1, { val_auc: null }), options);
  const second = endEpoch(first, row(2, { val_auc: null }), options);
  assert.deepEqual([first.best, second.best], [1, 2].map((epoch) => ({ value: null, epoch })));
  assert.equal(second.events.at(-1)?.note, "no val_auc: kept");
});

Deno.test("endEpoch() passes over an epoch without a value, in each callback", () => {
  const options: Options = {
    ...DEFAULTS,
    reduceLROnPlateau: { ...DEFAULTS.reduceLROnPlateau, monitor: "val_auc", patience: 2 },
    earlyStopping: { ...DEFAULTS.earlyStopping, monitor: "val_auc", patience: 3 },
  };
  let state = START;
  const seen = [1, null, null, null, 1, 1].map((val_auc, index) => {
    state = endEpoch(state, row(index + 1, { val_auc }), options);
    return [state.plateau.wait, state.stopping.wait];
  });
  assert.deepEqual(seen, [[0, 0], [0, 0], [0, 0], [0, 0], [1, 1], [0, 2]]);
  assert.deepEqual(state.events.map(({ kind }) => kind), ["checkpoint", "reduce_lr"]);
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
  const script = join(import.meta.dirname!, "callbacks_oracle.py");
  const expected = await askPython(script, traces) as Decisions[];
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
    rows: Array.from({ length: 5 + random.integer(26) }, () => {
      return { val_loss: value(), val_accuracy: value(), val_auc: value() };
    }),
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

const batch = (loss: number, positive: number[]) => ({
  loss,
  probabilities: Float32Array.from(positive.flatMap((p) => [1 - p, p])),
});

Deno.test("scoresOf() weighs batches by their images, and has no AUC of one class alone", () => {
  const sums = noScores();
  addBatch(sums, batch(1, [0.25, 0.75, 0.625]), Int32Array.of(0, 1, 0));
  addBatch(sums, batch(3, [0.5]), Int32Array.of(1));
  assert.deepEqual(scoresOf(sums), {
    loss: 1.5,
    accuracy: 0.5, // a draw goes to the negative class
    auc: 0.75, // of the pairs (1, 0) three of four are in order
  });
  const one = noScores();
  addBatch(one, batch(1, [0.25, 0.75]), Int32Array.of(0, 0));
  assert.deepEqual(scoresOf(one), { loss: 1, accuracy: 0.5, auc: null });
});

const watch = (classes = 2) => watchDivergence({ classes, epoch: 3, learningRate: 0.015 });

const step = { images: 32, weight: 32 };

/** Runs steps of these losses; the 1-based step at which it is stopped, or `null`. */
function stoppedAt(losses: readonly number[], { classes = 2, of = step } = {}): number | null {
  const watching = watch(classes);
  for (const [index, loss] of losses.entries()) {
    try {
      watching.step(loss, of);
      if (index === losses.length - 1) watching.endOfSteps();
    } catch {
      return index + 1;
    }
  }
  return null;
}

Deno.test("watchDivergence() stops at a loss that is no number, of a step or of validation", () => {
  const diverged = {
    name: "TrainingError",
    message: /stopped being a number in epoch 3: training has diverged/,
    remedy: /Lower training\.learningRate \(it was 1\.5e-2; .*range test/,
  };
  for (const loss of [NaN, Infinity]) {
    assert.throws(() => watch().step(loss, step), diverged);
    assert.throws(() => watch().validation(loss), diverged);
  }
});

Deno.test("watchDivergence() stops when 20 steps have 100 times the loss of guessing, and says so", () => {
  const exploded = Array<number>(25).fill(69.4); // 100 · ln 2 is 69.31
  assert.equal(stoppedAt(exploded), 20);
  assert.equal(stoppedAt(exploded, { classes: 3 }), null, "100 · ln 3 is 109.9");
  assert.equal(stoppedAt(Array<number>(60).fill(69.3)), null);
  const watching = watch();
  assert.throws(
    () => exploded.forEach((loss) => watching.step(loss, step)),
    /exploded in epoch 3 \(69\.4 on average over the last 20 steps; guessing has 0\.69\)/,
  );
});

Deno.test("watchDivergence() judges a short epoch at its end, lets single steps be high, and divides class weights out", () => {
  assert.equal(stoppedAt([1000, 0.5, 0.5]), 3);
  assert.equal(stoppedAt([100, 50, 0.5, 0.4]), null);
  const spikes = Array.from({ length: 400 }, (_, step) => step % 21 === 0 ? 1000 : 0.5);
  assert.equal(stoppedAt(spikes), null);
  watch().validation(1e6);
  const rare = 5000; // the weight of 1 image in 10,000
  const losses = Array<number>(40).fill(3 * rare);
  assert.equal(stoppedAt(losses, { of: { images: 1, weight: rare } }), null);
  assert.equal(stoppedAt(losses, { of: { images: 1, weight: 1 } }), 20);
});

Deno.test("watchDivergence() stops no training whose losses stay below the limit, in batches of any size", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 69.3, noNaN: true }), { minLength: 1, maxLength: 80 }),
      fc.integer({ min: 1, max: 64 }),
      (losses, images) => stoppedAt(losses, { of: { images, weight: images } }) === null,
    ),
    { seed: 5, numRuns: 200 },
  );
});
