import { describeEvaluation } from "../evaluation/describe_evaluation.ts";
import type { Evaluation } from "../evaluation/evaluation.ts";
import type { Displayable } from "./displayable.ts";
import { notice } from "./notice.ts";

/**
 * What became of an evaluation, and what was done about another share of the classes: a warning where
 * something else than the share differs from the images that the model knows.
 */
export function evaluationNotices(evaluation: Evaluation): Displayable[] {
  const { state, priorShift } = evaluation;
  const lines = describeEvaluation(evaluation).join("\n");
  return [
    notice(lines, state === "stopped" ? "warning" : "info"),
    ...(priorShift ? [notice(priorShift.text, priorShift.anotherShift ? "warning" : "info")] : []),
  ];
}
