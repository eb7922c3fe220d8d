import { basename } from "node:path";
import { fromRoot } from "../core/paths.ts";
import { images, SCORE_NAMES, type ScoreName } from "../core/words.ts";
import type { ChosenDecision } from "../metrics/decision.ts";
import { explainRun } from "../metrics/explain.ts";
import { type ReviewRun, reviewRun } from "../metrics/review.ts";
import { foldScores } from "../metrics/scores.ts";
import { testModel, writeModelCard } from "../metrics/test.ts";
import { disposeModel } from "../model/model.ts";
import { loadRunModel, type RunModel } from "../model/saved.ts";
import {
  describeProbe,
  describeTestReads,
  type ProbeScores,
  type Scores,
} from "../run/metrics_file.ts";
import type { Predictions } from "../run/predictions.ts";
import type { Run } from "../run/run.ts";
import type { Figure } from "../show/card.ts";
import {
  precisionRecallChart,
  reliabilityChart,
  rocChart,
  thresholdChart,
} from "../show/curve_charts.ts";
import { type Displayable, displayAll, htmlTable, notice, showProgress } from "../show/display.ts";
import { explanationGrid } from "../show/explanations.ts";
import { foldChart, groupChart } from "../show/group_charts.ts";
import { imageGrid } from "../show/pictures.ts";
import { writeReport } from "../show/report.ts";
import { savePlots } from "../show/save_plots.ts";
import { confusionMatrixChart, scoreHistogram } from "../show/score_charts.ts";
import { reviewNotices } from "../show/tables.ts";

/** What notebook 06 shows of a test. */
interface Tested extends
  Record<
    "confusion" | "histogram" | "roc" | "precisionRecall" | "thresholds" | "reliability" | "groups",
    Figure
  > {
  /** Of the test images: all charts take them. */
  predictions: Predictions;
  /** The scores of each fold; nothing without folds. */
  folds: Displayable;
  /** Why calibration, threshold and accepted band are what they are. */
  decision: Displayable;
  /** Whether unusual images can be flagged in notebook 07. */
  reference: Displayable;
  /** Whether the model is better than always predicting the most frequent class. */
  verdict: Displayable;
  /** Whether fine-tuning gains anything over a logistic regression on the features it started from. */
  probe: Displayable;
  /** How often the test images have been read. */
  reads: Displayable;
  /** Every score with its 95 % confidence interval, baseline and probe, and published ones beside. */
  scores: Displayable;
  /** Where the plots were saved. */
  saved: Displayable;
  /** Images whose label or prediction should be looked at again. */
  review: Displayable;
  /** Where the model found evidence, by Grad-CAM, and whether these maps can be believed. */
  explanations: Displayable;
  /** Where the report is. */
  report: Displayable;
}

/**
 * Tests the run's saved model: chooses calibration, threshold and accepted band on the validation
 * images, learns what ordinary images look like, scores the test images, lists those to look at
 * again, explains some predictions, and writes the model card and the report.
 *
 * @throws {ModelError} When the run has no usable model.
 * @throws {DataError} When the split is missing, or is not the one that the model was trained on.
 * @throws {ImageError} When an image of the split has gone or broken since.
 */
export async function test(run: Run): Promise<Tested> {
  const loaded = await loadRunModel(run);
  try {
    return await testLoaded(run, loaded);
  } finally {
    disposeModel(loaded.model);
  }
}

async function testLoaded(run: Run, loaded: RunModel): Promise<Tested> {
  const tested = await testModel(run, { loaded, onProgress: showProgress("Testing") });
  const { predictions, reads, scores, card, probe, verdict } = tested;
  const charts = {
    confusion: confusionMatrixChart(predictions),
    histogram: scoreHistogram(predictions),
    roc: rocChart(predictions),
    precisionRecall: precisionRecallChart(predictions),
    thresholds: thresholdChart(predictions),
    reliability: reliabilityChart(predictions),
    groups: groupChart(predictions),
    folds: foldChart(predictions),
  };
  const review = await reviewRun(run, predictions);
  const why = await explainRun(run, predictions, {
    loaded: { model: loaded.model, card },
    onProgress: showProgress("Explaining"),
  });
  const overlays = await Promise.all(
    why.groups.map((group) => explanationGrid(predictions, group)),
  );
  const saved = await savePlots(run.name, {
    confusion_matrix: charts.confusion,
    score_histogram: charts.histogram,
    roc: charts.roc,
    precision_recall: charts.precisionRecall,
    threshold: charts.thresholds,
    reliability: charts.reliability,
    groups: charts.groups,
    ...charts.folds && { folds: charts.folds },
    ...Object.fromEntries(overlays.map((figure, i) => [`explained_${i + 1}`, figure])),
  });
  await writeModelCard(run, card, { scores, reads, probe });
  await writeReport(run.name);
  const counted = describeTestReads(reads);
  const compared = describeProbe(probe);
  return {
    predictions,
    ...charts,
    decision: showDecision(tested.decision, card.data.folds),
    folds: showFolds(predictions, charts.folds),
    reference: tested.reference === null
      ? notice(
        "There are too few training or validation images to tell what is ordinary: notebook 07 " +
          "will flag no image.",
        "warning",
      )
      : notice("Notebook 07 will flag images that are unlike the training images."),
    verdict: notice(`${verdict.headline} ${verdict.sentence}`, verdict.better ? "info" : "warning"),
    probe: notice(compared.text, compared.isBeaten ? "info" : "warning"),
    reads: notice(counted.text, counted.isClean ? "info" : "warning"),
    scores: showScores(run, tested),
    saved,
    review: await showReview(run, review),
    explanations: displayAll(
      ...overlays,
      why.check && notice(why.check.sentence, why.check.doubtful ? "warning" : "info"),
    ),
    report: notice(`The report: results/${run.name}/report.html, one page to send.`),
  };
}

function showDecision(
  { logLoss, labels, reasons, decision }: ChosenDecision,
  folds: number | undefined,
): Displayable {
  const { before, after, outOfFold } = logLoss;
  return displayAll(
    folds === undefined ? null : notice(
      `Learnt from all ${folds} folds: with folds a validation image is any image, as predicted by ` +
        "the member that never saw its patient or slide.",
    ),
    notice(
      `${reasons.calibration} Log loss on the ${labels.length} validation images: ` +
        `${before.toFixed(4)} before, ${after.toFixed(4)} after calibration` +
        `${outOfFold ? "" : ", on the images that it was fitted to"}.`,
    ),
    notice(reasons.threshold),
    notice(reasons.acceptBand, decision.acceptBand ? "info" : "warning"),
  );
}

/** The scores of each fold as dots and numbers. */
function showFolds(predictions: Predictions, chart: Figure | null): Displayable {
  if (!chart) return displayAll();
  return displayAll(
    notice(
      "Every image was scored, by the member that never saw its patient or slide and with the " +
        "decision learnt on the other folds. The scores above are of all of them together.",
    ),
    chart,
    htmlTable(foldScores(predictions), { caption: "Scores of each fold" }),
  );
}

function showScores(
  { config }: Run,
  { scores, probe, predictions }: { scores: Scores; probe: ProbeScores; predictions: Predictions },
): Displayable {
  const published = config.metrics.references.map(({ name, score, value, note }) => ({
    score,
    published: value,
    here: scores[score].value,
    by: name,
    note,
  }));
  const ofProbe: Partial<Record<ScoreName, number | null>> = "scores" in probe ? probe.scores : {};
  return displayAll(
    htmlTable(SCORE_NAMES.map((score) => ({ score, ...scores[score], probe: ofProbe[score] })), {
      columns: ["score", "value", "low", "high", "baseline", "probe", "n", "method"],
      caption: `Test scores of ${predictions.classes.at(-1)}, with 95 % confidence intervals`,
    }),
    published.length === 0
      ? null
      : htmlTable(published, { caption: "Published scores, measured on other images" }),
  );
}

async function showReview({ config }: Run, review: ReviewRun): Promise<Displayable> {
  const tile = ({ path, label, probability }: ReviewRun["doubtful"][number]) => ({
    path: fromRoot(`${config.data.folder}/${path}`),
    caption: `${basename(path)} · labelled ${label} · probability ${probability.toFixed(3)}`,
  });
  const doubtful = review.doubtful.slice(0, 15).map(tile);
  const { candidates, mistakesOf, of } = review;
  return displayAll(
    doubtful.length === 0
      ? notice("There is no mistake on the test images, and no label in doubt.")
      : await imageGrid(doubtful, {
        title: `Of ${images(of)} ${candidates} may be labelled wrongly, ${mistakesOf} were ` +
          "classified wrongly",
      }),
    await imageGrid(review.uncertain.slice(0, 10).map(tile), {
      title: "The least certain of the rest",
    }),
    ...reviewNotices(review),
  );
}
