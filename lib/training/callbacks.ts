import type { Config, Monitor } from "../config_schema.ts";

/**
 * The three callbacks as pure state machines: a state and an epoch's value in, the next state and
 * the decision out. Semantics are those of Keras 3 (`keras.callbacks.ReduceLROnPlateau`,
 * `EarlyStopping`, `ModelCheckpoint(save_best_only=True)`), with `mode="auto"`: losses are better
 * when lower, everything else when higher. A value of `null` is one that the history lacks (AUC
 * with one class absent).
 */

/** Whether lower values of a monitored quantity are better. */
export function lowerIsBetter(monitor: Monitor): boolean {
  return monitor === "val_loss";
}

/**
 * Whether `value` beats `best` by more than `minDelta`; without a best yet, any value does. Compared
 * as 32-bit floats, as Keras does, so that a difference in the tenth digit is none.
 */
export function isImprovement(
  value: number,
  best: number | null,
  monitor: Monitor,
  minDelta = 0,
): boolean {
  if (best === null) return true;
  return lowerIsBetter(monitor)
    ? Math.fround(value + minDelta) < Math.fround(best)
    : Math.fround(value - minDelta) > Math.fround(best);
}

/** What ReduceLROnPlateau remembers between epochs. */
export interface PlateauState {
  learningRate: number;
  best: number | null;
  /** Epochs without improvement. */
  wait: number;
  /** Epochs of cool-down left. */
  cooldown: number;
}

/** ReduceLROnPlateau before the first epoch. */
export function startPlateau(learningRate: number): PlateauState {
  return { learningRate: Math.fround(learningRate), best: null, wait: 0, cooldown: 0 };
}

/**
 * ReduceLROnPlateau at the end of an epoch. Learning rates are 32-bit floats, as Keras' variable
 * is, so that a rate at its minimum is seen to be there.
 */
export function stepPlateau(
  state: PlateauState,
  value: number | null,
  options: Config["training"]["reduceLROnPlateau"],
): { state: PlateauState; reduced: boolean } {
  if (value === null) return { state, reduced: false };
  let { learningRate, best, wait, cooldown } = state;
  if (cooldown > 0) {
    cooldown -= 1;
    wait = 0;
  }
  if (isImprovement(value, best, options.monitor, options.minDelta)) {
    return { state: { learningRate, best: value, wait: 0, cooldown }, reduced: false };
  }
  if (cooldown > 0) return { state: { learningRate, best, wait, cooldown }, reduced: false };
  wait += 1;
  let reduced = false;
  if (wait >= options.patience && learningRate > Math.fround(options.minLearningRate)) {
    learningRate = Math.fround(Math.max(learningRate * options.factor, options.minLearningRate));
    cooldown = options.cooldown;
    wait = 0;
    reduced = true;
  }
  return { state: { learningRate, best, wait, cooldown }, reduced };
}

/** What EarlyStopping remembers between epochs. */
export interface StoppingState {
  best: number | null;
  /** 1-based epoch whose weights `restoreBest` goes back to; `null` before the first. */
  bestEpoch: number | null;
  wait: number;
}

/** EarlyStopping before the first epoch. */
export const startStopping: StoppingState = { best: null, bestEpoch: null, wait: 0 };

/**
 * EarlyStopping at the end of an epoch. `improved` tells the caller to keep the weights of this
 * epoch, `stop` that it was the last one.
 *
 * @param epoch 1-based.
 */
export function stepStopping(
  state: StoppingState,
  epoch: number,
  value: number | null,
  options: Config["training"]["earlyStopping"],
): { state: StoppingState; improved: boolean; stop: boolean } {
  if (value === null) return { state, improved: false, stop: false };
  if (isImprovement(value, state.best, options.monitor, options.minDelta)) {
    const next = { best: value, bestEpoch: epoch, wait: 0 };
    return { state: next, improved: true, stop: false };
  }
  const wait = state.wait + 1;
  return { state: { ...state, wait }, improved: false, stop: wait >= options.patience };
}
