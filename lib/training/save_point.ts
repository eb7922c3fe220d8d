import { ProjectError, TrainingError } from "../errors.ts";
import { type TensorFlow, tf } from "../setup/tensorflow.ts";
import { type TrainingState, writeCheckpoint } from "./checkpoint.ts";
import type { TrainingJob } from "./fit.ts";
import type { HistoryRow } from "./history.ts";
import { restore, snapshot, type Trainable, withWeights } from "./trainable.ts";

type Tensors = ReadonlyMap<string, TensorFlow.Tensor>;

/** A training as it was at one time. Its tensors are no copies: a step puts others in their place. */
export interface SavePoint {
  state: TrainingState;
  /** Of the trainable part. */
  weights: Tensors;
  /** Adam's, named as a checkpoint has them. */
  moments: Tensors;
  /** Weights of EarlyStopping's best epoch. */
  best: Tensors | null;
}

/** Holds a training as it is now; {@linkcode writeSavePoint} frees it. */
export function takeSavePoint(
  part: Trainable,
  state: TrainingState,
  best: Tensors | null,
): SavePoint {
  return {
    state,
    weights: snapshot(part),
    moments: momentsOf(part),
    best: best && new Map([...best].map(([name, value]) => [name, value.clone()])),
  };
}

/**
 * Writes the model, if this is its best epoch, then the checkpoint, and frees the tensors.
 *
 * @param bestRow The best epoch's history; `null`: this is not it.
 * @throws {TrainingError} When something cannot be written; what it would have replaced is still
 *   there.
 */
export async function writeSavePoint(
  { model, checkpoints, fingerprint, onBest }: TrainingJob,
  { state, weights, moments, best }: SavePoint,
  bestRow: HistoryRow | null,
): Promise<void> {
  try {
    if (bestRow) {
      const whole = withWeights(model, weights);
      await writing("The model", state.epoch, () => onBest(whole, bestRow));
    }
    const tensors = new Map([...weights, ...moments]);
    await writing(
      "The checkpoint",
      state.epoch,
      () => writeCheckpoint(checkpoints, fingerprint, state, tensors, best),
    );
  } finally {
    tf.dispose([...weights.values(), ...moments.values(), ...best?.values() ?? []]);
  }
}

async function writing(what: string, epoch: number, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    if (cause instanceof ProjectError) throw cause;
    throw new TrainingError(
      `${what} could not be written: ${cause instanceof Error ? cause.message : cause}.`,
      "Free some disk space, then run this again. It goes on from the last checkpoint, after " +
        `epoch ${Math.max(0, epoch - 1)}.`,
      { cause },
    );
  }
}

const FIRST = "adam_first/";
const SECOND = "adam_second/";

function momentsOf({ adam }: Trainable): Tensors {
  return new Map([...adam.variables].flatMap(([name, { first, second }]) => [
    [FIRST + name, first.read()],
    [SECOND + name, second.read()],
  ]));
}

/** Puts a checkpoint's weights and moments back in place and frees them. */
export function resume(part: Trainable, tensors: Tensors, adamStep: number): void {
  for (const [name, { first, second }] of part.adam.variables) {
    first.assign(tensors.get(FIRST + name)!);
    second.assign(tensors.get(SECOND + name)!);
  }
  part.adam.step = adamStep;
  restore(part, new Map([...part.weights.keys()].map((name) => [name, tensors.get(name)!])));
  tf.dispose([...tensors.values()]);
}
