import { compareTests } from "../metrics/compare.ts";
import type { HistoryRow, TrainingEvent } from "../run/history.ts";
import { rankRuns, readRuns, type Run } from "../run/run.ts";
import type { Figure } from "../show/card.ts";
import {
  createLive,
  type Displayable,
  displayAll,
  htmlTable,
  show,
  showProgress,
} from "../show/display.ts";
import { savePlots } from "../show/save_plots.ts";
import { comparisonTable, outcomeNotices, runsTable, trainingNotices } from "../show/tables.ts";
import { learningCurves, learningRateChart } from "../show/training_charts.ts";
import { foldCurves, runsChart } from "../show/validation_charts.ts";
import { findLearningRate as rangeTest } from "../training/learning_rate.ts";
import { type TrainedRun, trainRun } from "../training/training.ts";

/** What notebook 05 shows of a training. */
interface Trained extends TrainedRun {
  /** Loss, accuracy, AUC and learning rate by epoch; of folds the validation curves of all. */
  curves: Figure;
  /** What became of the training: where it was continued or stopped, what it started from. */
  outcome: Displayable;
  /** The epoch that is kept and the last one; of folds the kept one of each. */
  epochs: Displayable;
  /** What the callbacks did. */
  callbacks: Displayable;
  /** Where the curves were saved. */
  saved: Displayable;
}

/**
 * Trains the run's model, with progress and curves that grow as it goes, and keeps the best epoch in
 * model/RUN/; with folds a model for each, which are then joined to one. Stop finishes the batch and saves; the same call goes on there, also after a crash.
 *
 * @throws {DataError} When notebook 03 has not been run, or its split has been changed since.
 * @throws {ModelError} When the starting weights cannot be obtained.
 * @throws {ImageError} When an image of the split has gone or broken since.
 * @throws {TrainingError} When the loss is no longer a number; when the disk is full; when an
 *   interrupted training of other settings would be lost.
 */
export async function train(run: Run): Promise<Trained> {
  const { training } = run.config;
  await show(trainingNotices(training));
  const chart = createLive();
  const draw = (history: HistoryRow[], events: TrainingEvent[], epochs = 1) =>
    (history[0]?.fold ? foldCurves : learningCurves)({ history, events, run: run.name, epochs });
  const trained = await trainRun(run, {
    onProgress: showProgress("Training"),
    onEpoch: (history, events) => chart.update(draw(history, events, training.epochs)),
  });
  const { history, events, kept, members } = trained;
  const curves = draw(history, events);
  await chart.update(curves);
  const last = history.slice(-1).filter((row) => members === 1 && row !== kept[0]);
  return {
    ...trained,
    curves,
    outcome: displayAll(...outcomeNotices(trained)),
    epochs: htmlTable(
      [...kept, ...last].map(({ fold, ...row }) => ({ ...fold && { fold }, ...row })),
      {
        caption: members === 1
          ? `Best epoch (${kept[0]?.epoch ?? "none"}, kept) and last epoch (${history.length})`
          : "The epoch that each fold has kept",
      },
    ),
    callbacks: htmlTable(
      events.filter(({ kind }) => members === 1 || kind !== "checkpoint"), // of folds too many
      { caption: "What the callbacks did" },
    ),
    saved: await savePlots(run.name, { learning_curves: curves }),
  };
}

/**
 * Tries learning rates from 1e-7 to 10 on a copy of the model, for 100 steps; nothing is kept.
 *
 * @returns The loss over the learning rate, with a suggestion.
 * @throws As {@linkcode train}.
 */
export async function findLearningRate(run: Run): Promise<Figure> {
  const found = await rangeTest(run, showProgress("Learning rates"));
  const { learningRate } = run.config.training;
  return learningRateChart({ ...found, learningRate, run: run.name });
}

/**
 * All trained runs beside this one: their settings, scores and validation curves, and which of those
 * with test scores differ by more than chance from the one of them with the best validation score.
 */
export async function compareRuns({ config }: Run): Promise<Displayable> {
  const runs = await readRuns();
  const ranking = { monitor: config.training.checkpoint.monitor, run: config.run };
  const compared = await compareTests(rankRuns(runs.runs, ranking).filter(({ test }) => test));
  return displayAll(
    runsTable(runs, config),
    runsChart(runs.runs, config),
    compared && comparisonTable(compared),
  );
}
