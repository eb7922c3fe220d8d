import { fromRoot } from "../core/paths.ts";
import { evaluateRun } from "../evaluation/evaluate.ts";
import type { Evaluation } from "../evaluation/results.ts";
import { type ExplainedReview, explainReview } from "../evaluation/tally.ts";
import { positiveClass } from "../metrics/rates.ts";
import { disposeModel } from "../model/model.ts";
import { loadModel } from "../model/saved.ts";
import { DETAILS_COLUMNS } from "../run/evaluation_files.ts";
import type { Run } from "../run/run.ts";
import type { Figure } from "../show/card.ts";
import { type Displayable, displayAll, htmlTable, notice, showProgress } from "../show/display.ts";
import { reviewGrid } from "../show/explanations.ts";
import { groupSharesChart } from "../show/group_charts.ts";
import { newScoresHistogram } from "../show/score_charts.ts";
import { evaluationNotices, externalScoresTable, groupSharesTable } from "../show/tables.ts";

/** What notebook 07 shows of an evaluation. */
interface Evaluated extends Evaluation {
  /** What was done, what was decided about the prevalence, and the images of each class. */
  outcome: Displayable;
  /** The first rows of evaluation.csv and of evaluation_details.csv. */
  rows: Displayable;
  histogram: Figure;
  /** The prevalence in each patient or slide and in all images. */
  prevalence: Displayable;
  /** The images with the greatest need of a person's look, explained. */
  toReview: Displayable;
  /** Scores, where the folder tells the true classes. */
  scores: Displayable;
  /** What could not be read, and what was passed over. */
  errorTable: Displayable;
}

/**
 * Classifies every image of the run's `evaluation.folder` with its saved model and writes
 * evaluation.csv with its details and errors. An earlier evaluation of the run is overwritten. Stop
 * ends the work after the images in hand; the same call goes on there.
 *
 * @throws {ModelError} When the run has no usable model.
 * @throws {DataError} When the folder is missing or holds no image, or nothing can be written.
 */
export async function evaluate(run: Run): Promise<Evaluated> {
  const loaded = await loadModel(run.paths.model);
  try {
    const onProgress = showProgress("Classifying");
    const result = await evaluateRun(run, { loaded, force: true, onProgress });
    const explained = await explainReview(result.queue.first, {
      loaded,
      folder: fromRoot(run.config.evaluation.folder),
      onProgress: showProgress("Explaining"),
    });
    return await showEvaluation(run, result, explained);
  } finally {
    disposeModel(loaded.model);
  }
}

async function showEvaluation(
  run: Run,
  result: Evaluation,
  explained: readonly ExplainedReview[],
): Promise<Evaluated> {
  const { card, shares, external } = result;
  const { name } = run;
  const [others, positive] = positiveClass(card.architecture.classes).names;
  return {
    ...result,
    outcome: showOutcome(run, result),
    rows: showRows(result),
    histogram: newScoresHistogram({
      ...result.probabilities,
      classes: [others, positive],
      threshold: result.priorShift?.threshold ?? card.decision.threshold,
      run: name,
    }),
    prevalence: displayAll(
      groupSharesChart({ shares, positive, run: name }),
      groupSharesTable(shares),
      notice(shares.text),
    ),
    toReview: displayAll(
      result.queue.flags ? null : notice(
        "It is not known what ordinary images look like, so that no image can be flagged: run " +
          "notebook 06 for this model.",
        "warning",
      ),
      await reviewGrid(explained, { run: name, positive, of: result.review }),
    ),
    scores: displayAll(
      external && notice(external.text),
      external?.scores ? externalScoresTable(external.scores, { run: name }) : null,
    ),
    errorTable: displayAll(
      result.unreadable === 0 ? notice("Every image could be read.") : htmlTable(result.errors, {
        caption:
          `First ${result.errors.length} of ${result.unreadable}; all: evaluation_errors.csv`,
      }),
      htmlTable([result.skipped], { caption: "Passed over: no images by their names" }),
    ),
  };
}

function showOutcome({ config }: Run, result: Evaluation): Displayable {
  return displayAll(
    config.evaluation.folder === config.data.folder
      ? notice(
        "No folder of new images was named, so these are the images that the model was trained " +
          "on: an example of the result, not a measure of quality.",
        "warning",
      )
      : null,
    ...evaluationNotices(result),
    htmlTable(result.classes.map(({ name, images, review: of }) => {
      return { class: name, images, "of these to review": of };
    })),
  );
}

function showRows({ first, classified }: Evaluation): Displayable {
  const rows = first.map(({ name, predicted }) => ({ name, ground_truth: predicted }));
  const caption = "The same images in evaluation_details.csv";
  const isEnsemble = first.some(({ spread }) => spread !== null);
  const columns = DETAILS_COLUMNS.filter((name) => name !== "spread" || isEnsemble);
  return displayAll(
    htmlTable(rows, { caption: `First rows of ${classified}` }),
    htmlTable(first, { columns, caption }),
  );
}
