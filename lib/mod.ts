/** What the notebooks use, in the order of the sections. */
export { configure, describeConfig } from "./core/config.ts";
export { fromRoot, runPaths } from "./core/paths.ts";

// 01 setup
export { environment } from "./core/tensorflow.ts";

// 02 data
export { auditCounts, auditPolicies } from "./run/findings.ts";
export { classCounts, majorityBaseline, scanRun } from "./data/scan.ts";
export { usable } from "./run/manifest.ts";

// 03 split
export { groupWarning, subsetCounts } from "./run/split_file.ts";
export { splitRun, splitTable } from "./split/split.ts";

// 04 model
export { cutGraph } from "./model/graph.ts";
export { disposeModel, frozenLayerCount, summariseStages } from "./model/model.ts";
export { startRun } from "./model/start.ts";
export { subsetItems } from "./run/split_file.ts";

// 05 training
export { findLearningRate } from "./training/learning_rate.ts";
export { readRuns } from "./run/runs.ts";
export { trainRun } from "./training/train_run.ts";

// 06 metrics
export { betterThanBaseline } from "./metrics/baseline.ts";
export { explainRun } from "./metrics/explain.ts";
export { learnReference } from "./model/reference.ts";
export { chooseDecision } from "./metrics/decision.ts";
export { describeTestReads } from "./run/metrics_file.ts";
export { positiveClass } from "./metrics/rates.ts";
export { reviewRun } from "./metrics/review.ts";
export { testRun, writeModelCard } from "./metrics/test.ts";

// 07 evaluation on a new dataset
export { evaluateRun } from "./evaluation/evaluate.ts";
export { explainReview } from "./evaluation/queue.ts";
export { DETAILS_COLUMNS } from "./evaluation/answers.ts";

// display
export {
  auditPictures,
  augmentationGrid,
  imageGrid,
  predictionGrid,
  withoutPicture,
} from "./show/pictures.ts";
export { classCountsChart, sizeChart, splitChart } from "./show/data_charts.ts";
export { confusionMatrixChart, newScoresHistogram, scoreHistogram } from "./show/score_charts.ts";
export { createLive, htmlTable, notice, show, showSyntheticNotice } from "./show/display.ts";
export {
  externalScoresTable,
  groupChart,
  groupSharesChart,
  groupSharesTable,
} from "./show/group_charts.ts";
export {
  evaluationNotices,
  outcomeNotices,
  reviewNotices,
  trainingNotices,
} from "./show/notices.ts";
export { explanationGrid, reviewGrid } from "./show/explanations.ts";
export { learningCurves, learningRateChart } from "./show/training_charts.ts";
export {
  precisionRecallChart,
  reliabilityChart,
  rocChart,
  thresholdChart,
} from "./show/curve_charts.ts";
export { runsChart, runsTable } from "./show/run_charts.ts";
export { savePlots } from "./show/save_plots.ts";
export { showProgress } from "./show/progress.ts";
export { writeReport } from "./show/report.ts";
