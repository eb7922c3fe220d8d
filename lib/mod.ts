/** What the notebooks use: seven verbs, what shows results, and charts for another width or title. */

// the seven verbs, one a notebook
export { configure } from "./verbs/configure.ts";
export { auditTable, scan } from "./verbs/scan.ts";
export { split } from "./verbs/split.ts";
export { build } from "./verbs/build.ts";
export { compareRuns, findLearningRate, train } from "./verbs/train.ts";
export { test } from "./verbs/test.ts";
export { evaluate } from "./verbs/evaluate.ts";

// showing
export { htmlTable, notice, show } from "./show/display.ts";
export { imageGrid } from "./show/pictures.ts";

// charts of predictions and histories
export {
  precisionRecallChart,
  reliabilityChart,
  rocChart,
  thresholdChart,
} from "./show/curve_charts.ts";
export { groupChart } from "./show/group_charts.ts";
export { confusionMatrixChart, scoreHistogram } from "./show/score_charts.ts";
export { learningCurves } from "./show/training_charts.ts";
