import { TrainingError } from "../core/errors.ts";
import type { Config, Monitor } from "../core/settings.ts";
import { rocAuc } from "../core/stats.ts";
import { type HistoryRow, lowerIsBetter, type TrainingEvent } from "../run/history.ts";
import type { BatchResult } from "./trainable.ts";

type Options = Config["training"];

/** How far the epoch after the finished ones has come: training batches done, and their time. */
export interface PartialEpoch {
  steps: number;
  seconds: number;
  scores: ScoreSums;
}

/** Everything that the next epoch depends on, except the tensors. */
export interface TrainingState {
  /** Epochs finished. */
  epoch: number;
  /** Where the next epoch is; `null`: at its start. */
  partial: PartialEpoch | null;
  /** Whether no epoch was left to do when this was saved, and whether EarlyStopping had ended it. */
  over: boolean;
  stopped: boolean;
  /** ReduceLROnPlateau: its best value, epochs without improvement and of cool-down left. */
  plateau: { learningRate: number; best: number | null; wait: number; cooldown: number };
  /** EarlyStopping: its best value, the 1-based epoch of it, epochs without improvement since. */
  stopping: { best: number | null; bestEpoch: number | null; wait: number };
  /** ModelCheckpoint's best value so far, and its 1-based epoch. */
  best: { value: number | null; epoch: number | null };
  history: HistoryRow[];
  events: TrainingEvent[];
  /** Steps Adam has taken. */
  adamStep: number;
}

/** A training before its first epoch. */
export function startState(learningRate: number): TrainingState {
  return {
    epoch: 0,
    partial: null,
    over: false,
    stopped: false,
    plateau: { learningRate: Math.fround(learningRate), best: null, wait: 0, cooldown: 0 },
    stopping: { best: null, bestEpoch: null, wait: 0 },
    best: { value: null, epoch: null },
    history: [],
    events: [],
    adamStep: 0,
  };
}

/**
 * Runs the callbacks on a finished epoch: checkpoint, learning rate, early stopping. Pure. During
 * warm-up only the checkpoint is at work; the others begin with the phase that they are for.
 *
 * @returns The state before the next epoch, with the row and the events added. `best.epoch` is this
 *   epoch where ModelCheckpoint keeps it, `stopping.bestEpoch` where EarlyStopping would restore it.
 */
export function endEpoch(state: TrainingState, row: HistoryRow, options: Options): TrainingState {
  const { epoch } = row;
  const { checkpoint, reduceLROnPlateau, earlyStopping, warmupEpochs } = options;
  const events: TrainingEvent[] = [];
  const watched = (name: Monitor) => epoch <= warmupEpochs ? null : row[name];
  const { monitor } = checkpoint;
  const value = row[monitor];
  // Without a value Keras keeps the epoch: a model of the last one is better than none.
  const isBest = value === null || isImprovement(value, state.best.value, monitor);
  if (isBest) {
    const note = value === null ? `no ${monitor}: kept` : `best ${monitor} ${value.toFixed(4)}`;
    events.push({ epoch, kind: "checkpoint", note });
  }
  if (epoch === warmupEpochs) {
    events.push({ epoch, kind: "unfreeze", note: "from the next epoch on, all unfrozen layers" });
  }
  const plateau = stepPlateau(state.plateau, watched(reduceLROnPlateau.monitor), reduceLROnPlateau);
  if (plateau.learningRate < state.plateau.learningRate) {
    const [before, after] = [state.plateau, plateau].map((each) => rateText(each.learningRate));
    events.push({ epoch, kind: "reduce_lr", note: `learning rate ${before} → ${after}` });
  }
  let { stopping } = state;
  const stopValue = watched(earlyStopping.monitor);
  if (stopValue !== null) {
    const { monitor, minDelta } = earlyStopping;
    stopping = isImprovement(stopValue, stopping.best, monitor, minDelta)
      ? { best: stopValue, bestEpoch: epoch, wait: 0 }
      : { ...stopping, wait: stopping.wait + 1 };
  }
  const stopped = stopping.wait >= earlyStopping.patience;
  if (stopped) {
    const note = `no better ${earlyStopping.monitor} for ${stopping.wait} epochs`;
    events.push({ epoch, kind: "early_stopping", note });
  }
  const best = isBest ? { value: value ?? state.best.value, epoch } : state.best;
  const added = { history: [...state.history, row], events: [...state.events, ...events] };
  return { ...state, ...added, epoch, partial: null, stopped, plateau, stopping, best };
}

/**
 * Whether `value` beats `best` by more than `minDelta`; without a best yet, any value does. Compared
 * as 32-bit floats, as Keras does, so that a difference in the tenth digit is none.
 */
function isImprovement(value: number, best: number | null, monitor: Monitor, minDelta = 0) {
  if (best === null) return true;
  return lowerIsBetter(monitor)
    ? Math.fround(value + minDelta) < Math.fround(best)
    : Math.fround(value - minDelta) > Math.fround(best);
}

/**
 * ReduceLROnPlateau at the end of an epoch; `null`: the epoch has no value. Learning rates are 32-bit
 * floats, as Keras' variable is, so that a rate at its minimum is recognised as such.
 */
function stepPlateau(
  state: TrainingState["plateau"],
  value: number | null,
  options: Options["reduceLROnPlateau"],
): TrainingState["plateau"] {
  if (value === null) return state;
  const { learningRate } = state;
  const cooldown = Math.max(0, state.cooldown - 1);
  if (isImprovement(value, state.best, options.monitor, options.minDelta)) {
    return { learningRate, best: value, wait: 0, cooldown };
  }
  if (cooldown > 0) return { ...state, wait: 0, cooldown };
  const wait = state.cooldown > 0 ? 1 : state.wait + 1;
  if (wait < options.patience || learningRate <= Math.fround(options.minLearningRate)) {
    return { ...state, wait, cooldown };
  }
  const lower = Math.fround(Math.max(learningRate * options.factor, options.minLearningRate));
  return { ...state, learningRate: lower, wait: 0, cooldown: options.cooldown };
}

/** A learning rate for people: "1e-4". */
const rateText = (rate: number): string => Number(rate.toPrecision(3)).toExponential();

/** Steps of which the mean loss is judged, and how often the loss of guessing it may reach. */
const [STEPS, LIMIT] = [20, 100];

/**
 * Watches the losses of an epoch and stops a training that has diverged: a loss is no longer a
 * number, or the mean training loss of 20 steps (or of a whole shorter epoch) is above
 * 100 · ln(classes), 69 for two classes: the right class then has a probability of e⁻⁶⁹. No training
 * that still learns comes near it: guessing scores 0.69, and even a rate a hundred times too high
 * (1e-2) was measured below 2. Single steps are never judged, since a few wrong images in a small
 * batch can cost much; class weights are divided out, since those of a very rare class are large.
 *
 * Validation losses may be as high as they like while they are numbers: the moving statistics of the
 * head's BatchNorm need some hundred steps to settle.
 *
 * @returns What to call after each step, after the last step and after each validation batch.
 *   `loss` is the mean over the batch, class weights applied; `weight` the sum of its class weights.
 * @throws {TrainingError} From each of these, when the training has diverged.
 */
export function watchDivergence(
  { classes, epoch, learningRate }: { classes: number; epoch: number; learningRate: number },
) {
  const rate = rateText(learningRate);
  const guessing = Math.log(classes);
  const steps: { sum: number; weight: number }[] = [];
  const fail = (what: string) => {
    throw new TrainingError(
      `${what}: training has diverged.`,
      `Lower training.learningRate (it was ${rate}; the learning rate range test of notebook 05 ` +
        "suggests one), and look at the images in notebook 02 for broken ones.",
    );
  };
  const requireNumber = (loss: number): void => {
    if (!Number.isFinite(loss)) fail(`The loss stopped being a number in epoch ${epoch}`);
  };
  const judge = (): void => {
    const weight = steps.reduce((total, step) => total + step.weight, 0);
    const mean = steps.reduce((total, step) => total + step.sum, 0) / weight;
    if (!(mean > LIMIT * guessing)) return; // NaN: all steps were made before a kill
    fail(
      `The training loss has exploded in epoch ${epoch} (${mean.toPrecision(3)} on average over ` +
        `the last ${steps.length} steps; guessing has ${guessing.toFixed(2)})`,
    );
  };
  return {
    step(loss: number, { images, weight }: { images: number; weight: number }): void {
      requireNumber(loss);
      steps.push({ sum: loss * images, weight });
      if (steps.length > STEPS) steps.shift();
      if (steps.length === STEPS) judge();
    },
    endOfSteps(): void {
      if (steps.length < STEPS) judge();
    },
    validation: requireNumber,
  };
}

/** Sums over an epoch's images so far; a checkpoint within the epoch holds them. */
export interface ScoreSums {
  /** Sum of the images' losses. */
  loss: number;
  /** Images whose most probable class was right. */
  right: number;
  /** 1 where the label is the positive class, else 0, and that class's probability: [images]. */
  labels: number[];
  positive: number[];
}

/** The sums before the first batch. */
export const noScores = (): ScoreSums => ({ loss: 0, right: 0, labels: [], positive: [] });

/** Adds a batch to the sums. The positive class is the last one. */
export function addBatch(
  sums: ScoreSums,
  { loss, probabilities }: BatchResult,
  labels: Int32Array,
) {
  const classes = probabilities.length / labels.length;
  sums.loss += loss * labels.length;
  labels.forEach((label, row) => {
    const image = probabilities.subarray(row * classes, (row + 1) * classes);
    if (image.indexOf(Math.max(...image)) === label) sums.right += 1;
    sums.labels.push(label === classes - 1 ? 1 : 0);
    sums.positive.push(image[classes - 1]!);
  });
}

/**
 * Mean loss, accuracy, and exact AUC of the positive class (`null` with one class absent), which
 * `keras.metrics.AUC` approximates with 200 thresholds.
 */
export function scoresOf({ loss, right, labels, positive }: ScoreSums) {
  const images = labels.length;
  return { loss: loss / images, accuracy: right / images, auc: rocAuc(labels, positive) };
}
