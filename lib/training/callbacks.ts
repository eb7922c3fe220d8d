import { TrainingError } from "../core/errors.ts";
import type { Config, Monitor } from "../core/settings.ts";
import { lowerIsBetter } from "../run/history.ts";

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

/** Steps over which the training loss is averaged before it is judged. */
const STEPS = 20;

/** How many times the loss of guessing, ln(classes), that average may reach. */
const LIMIT = 100;

/** Looks at the losses of an epoch and stops a training that has nothing left to gain. */
interface LossWatch {
  /**
   * After a step.
   *
   * @param loss Mean over the batch, class weights applied.
   * @param weight Sum of the class weights of the batch's images; without any, their number.
   * @throws {TrainingError} When the loss is not finite, or has exploded over the last 20 steps.
   */
  step(loss: number, batch: { images: number; weight: number }): void;
  /**
   * After an epoch's last step.
   *
   * @throws {TrainingError} When the loss has exploded in an epoch of fewer than 20 steps.
   */
  endOfSteps(): void;
  /**
   * After a validation batch.
   *
   * @throws {TrainingError} When the loss is not finite.
   */
  validation(loss: number): void;
}

/**
 * A training has diverged when a loss is no longer a number, or when the mean training loss of 20
 * steps (or of a whole shorter epoch) is above 100 · ln(classes), 69 for two classes: the right
 * class then has a probability of e⁻⁶⁹. That is far beyond what any training that still learns has:
 * guessing scores 0.69, and even a rate a hundred times too high (1e-2) was measured below 2. Single
 * steps are never judged, since a few wrong images in a small batch can cost much; class weights are
 * divided out, since those of a very rare class are large.
 *
 * Validation losses may be as high as they like while they are numbers: the moving statistics of the
 * head's BatchNorm need some hundred steps to settle, and until then say nothing about the training.
 */
export function watchLoss(
  { classes, epoch, learningRate }: { classes: number; epoch: number; learningRate: number },
): LossWatch {
  const guessing = Math.log(classes);
  const steps: { sum: number; weight: number }[] = [];
  const requireNumber = (loss: number) => {
    if (Number.isFinite(loss)) return;
    throw diverged(`The loss stopped being a number in epoch ${epoch}`, learningRate);
  };
  const judge = () => {
    const weight = steps.reduce((total, step) => total + step.weight, 0);
    const mean = steps.reduce((total, step) => total + step.sum, 0) / weight;
    if (!(mean > LIMIT * guessing)) return;
    throw diverged(
      `The training loss has exploded in epoch ${epoch} (${mean.toPrecision(3)} on average over ` +
        `the last ${steps.length} steps; guessing has ${guessing.toFixed(2)})`,
      learningRate,
    );
  };
  return {
    step(loss, { images, weight }) {
      requireNumber(loss);
      steps.push({ sum: loss * images, weight });
      if (steps.length > STEPS) steps.shift();
      if (steps.length === STEPS) judge();
    },
    endOfSteps() {
      if (steps.length < STEPS) judge();
    },
    validation: requireNumber,
  };
}

function diverged(what: string, learningRate: number): TrainingError {
  const rate = Number(learningRate.toPrecision(3)).toExponential();
  return new TrainingError(
    `${what}: training has diverged.`,
    `Lower training.learningRate (it was ${rate}; the learning rate range test of notebook 05 ` +
      "suggests one), and look at the images in notebook 02 for broken ones.",
  );
}
