/** What the notebooks use, in the order of the sections. */
export { configure, describeConfig } from "./config.ts";
export { fromRoot, runPaths } from "./paths.ts";

// 01 setup
export { environment } from "./setup/versions.ts";

// 02 data
export { auditCounts, auditPolicies } from "./data/audit_policy.ts";
export { classCounts, majorityBaseline } from "./data/class_counts.ts";
export { scanRun } from "./data/scan_run.ts";
export { usable } from "./data/manifest.ts";

// 03 split
export { groupWarning } from "./split/group_warning.ts";
export { splitRun } from "./split/split_run.ts";
export { subsetCounts } from "./split/subset_counts.ts";
export { splitTable } from "./split/split_table.ts";

// 04 model
export { cutGraph } from "./model/cut.ts";
export { disposeModel } from "./model/model.ts";
export { frozenLayerCount, summariseStages } from "./model/stages.ts";
export { startRun } from "./model/start_run.ts";
export { subsetItems } from "./images/subset_items.ts";

// 05 training
export { findLearningRate } from "./training/find_learning_rate.ts";
export { readRuns } from "./training/runs.ts";
export { trainRun } from "./training/train_run.ts";

// 06 metrics
export { betterThanBaseline } from "./metrics/better_than_baseline.ts";
export { explainRun } from "./metrics/explain/explain_run.ts";
export { learnReference } from "./metrics/learn_reference.ts";
export { chooseDecision } from "./metrics/choose_decision.ts";
export { describeTestReads } from "./metrics/test_reads.ts";
export { positiveClass } from "./metrics/positive_class.ts";
export { reviewRun } from "./metrics/review/review_run.ts";
export { testRun } from "./metrics/test_run.ts";
export { writeModelCard } from "./metrics/write_model_card.ts";

// 07 evaluation on a new dataset
export { evaluateRun } from "./evaluation/evaluate_run.ts";
export { explainReview } from "./evaluation/explain_review.ts";
export { DETAILS_COLUMNS } from "./evaluation/write_evaluation.ts";

// display
export { auditPictures, withoutPicture } from "./notebook/audit_pictures.ts";
export { augmentationGrid } from "./notebook/augmentation_grid.ts";
export { classCountsChart } from "./notebook/class_counts_chart.ts";
export { confusionMatrixChart } from "./notebook/confusion_matrix_chart.ts";
export { createLive } from "./notebook/live.ts";
export { groupChart } from "./notebook/group_chart.ts";
export { groupSharesChart } from "./notebook/group_shares_chart.ts";
export { groupSharesTable } from "./notebook/group_shares_table.ts";
export { evaluationNotices } from "./notebook/evaluation_notices.ts";
export { explanationGrid } from "./notebook/explanation_grid.ts";
export { htmlTable } from "./notebook/table.ts";
export { imageGrid } from "./notebook/image_grid.ts";
export { learningCurves } from "./notebook/learning_curves.ts";
export { learningRateChart } from "./notebook/learning_rate_chart.ts";
export { notice } from "./notebook/notice.ts";
export { outcomeNotices } from "./notebook/outcome_notices.ts";
export { precisionRecallChart } from "./notebook/precision_recall_chart.ts";
export { predictionGrid } from "./notebook/prediction_grid.ts";
export { reliabilityChart } from "./notebook/reliability_chart.ts";
export { reviewNotices } from "./notebook/review_notices.ts";
export { externalScoresTable } from "./notebook/external_scores_table.ts";
export { reviewGrid } from "./notebook/review_grid.ts";
export { rocChart } from "./notebook/roc_chart.ts";
export { runsChart } from "./notebook/runs_chart.ts";
export { runsTable } from "./notebook/runs_table.ts";
export { savePlots } from "./notebook/save_plots.ts";
export { newScoresHistogram, scoreHistogram } from "./notebook/score_histogram.ts";
export { show } from "./notebook/show.ts";
export { showProgress } from "./notebook/progress.ts";
export { showSyntheticNotice } from "./notebook/show_synthetic_notice.ts";
export { sizeChart } from "./notebook/size_chart.ts";
export { splitChart } from "./notebook/split_chart.ts";
export { thresholdChart } from "./notebook/threshold_chart.ts";
export { trainingNotices } from "./notebook/training_notices.ts";
export { writeReport } from "./notebook/report/write_report.ts";
