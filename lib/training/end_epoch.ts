import type { Config, Monitor } from "../config_schema.ts";
import { isImprovement, stepPlateau, stepStopping } from "./callbacks.ts";
import type { TrainingState } from "./checkpoint.ts";
import type { HistoryRow, TrainingEvent } from "./history.ts";

/** What the three callbacks make of a finished epoch. */
export interface EndedEpoch {
  /** The state for the next epoch, with the row and the events added. */
  state: TrainingState;
  /** ModelCheckpoint keeps this epoch. */
  isBest: boolean;
  /** EarlyStopping would go back to this epoch. */
  isBestToRestore: boolean;
}

/**
 * Runs the callbacks on a finished epoch: checkpoint, learning rate, early stopping. Pure. During
 * warm-up only the checkpoint is at work; the others begin with the phase that they are for.
 */
export function endEpoch(
  state: TrainingState,
  row: HistoryRow,
  options: Config["training"],
): EndedEpoch {
  const { epoch } = row;
  const events: TrainingEvent[] = [];

  const { monitor } = options.checkpoint;
  const value = row[monitor];
  // Without a value Keras keeps the epoch: a model of the last one is better than none.
  const isBest = value === null || isImprovement(value, state.best.value, monitor);
  if (isBest) {
    const note = value === null ? `no ${monitor}: kept` : `best ${monitor} ${value.toFixed(4)}`;
    events.push({ epoch, kind: "checkpoint", note });
  }

  if (epoch === options.warmupEpochs) {
    events.push({ epoch, kind: "unfreeze", note: "from the next epoch on, all unfrozen layers" });
  }
  const watched = (name: Monitor) => epoch <= options.warmupEpochs ? null : row[name];
  const plateau = stepPlateau(
    state.plateau,
    watched(options.reduceLROnPlateau.monitor),
    options.reduceLROnPlateau,
  );
  if (plateau.reduced) {
    const [before, after] = [state.plateau, plateau.state].map(({ learningRate }) =>
      Number(learningRate.toPrecision(3)).toExponential()
    );
    events.push({ epoch, kind: "reduce_lr", note: `learning rate ${before} → ${after}` });
  }
  const stopping = stepStopping(
    state.stopping,
    epoch,
    watched(options.earlyStopping.monitor),
    options.earlyStopping,
  );
  if (stopping.stop) {
    const note = `no better ${options.earlyStopping.monitor} for ${stopping.state.wait} epochs`;
    events.push({ epoch, kind: "early_stopping", note });
  }
  return {
    state: {
      ...state,
      epoch,
      stopped: stopping.stop,
      plateau: plateau.state,
      stopping: stopping.state,
      best: isBest ? { value: value ?? state.best.value, epoch } : state.best,
      history: [...state.history, row],
      events: [...state.events, ...events],
    },
    isBest,
    isBestToRestore: stopping.improved,
  };
}
