import type { ExternalScores } from "../evaluation/external_scores.ts";
import type { Score } from "../metrics/score.ts";
import type { ScoreName } from "../score_names.ts";
import type { Displayable } from "./displayable.ts";
import { htmlTable } from "./table.ts";

/** Scores that are shown when nothing else is asked for. */
const SHOWN: readonly ScoreName[] = [
  "accuracy",
  "balanced_accuracy",
  "sensitivity",
  "specificity",
  "precision",
  "f1",
  "mcc",
  "roc_auc",
  "average_precision",
  "brier",
  "log_loss",
  "ece",
];

/**
 * Scores on the test images and on a new folder side by side, each with its interval and the new
 * folder's baseline, and how much worse they are there.
 */
export function externalScoresTable(
  { drops, internal, external }: ExternalScores,
  { run }: { run: string },
): Displayable {
  const [tests, news] = [
    `test images (n = ${internal.images})`,
    `new images (n = ${external.images})`,
  ];
  const rows = SHOWN.map((name) => drops.find((drop) => drop.name === name)!).map((drop) => ({
    score: drop.name.replaceAll("_", " "),
    [tests]: withInterval(drop.internal),
    [news]: withInterval(drop.external),
    "baseline there": drop.external.baseline === null ? null : digits(drop.external.baseline),
    "worse by": drop.drop === null ? null : signed(drop.drop),
    "95 % interval": drop.low === null || drop.high === null
      ? null
      : `${signed(drop.low)} to ${signed(drop.high)}`,
  }));
  return htmlTable(rows, {
    caption: `Run ${run}: scores on new images beside those on test images`,
  });
}

function withInterval({ value, low, high }: Score): string | null {
  if (value === null) return null;
  const interval = low === null || high === null ? "" : ` (${digits(low)} to ${digits(high)})`;
  return digits(value) + interval;
}

function digits(value: number): string {
  return value.toFixed(3);
}

/** With a true minus sign; what rounds to nothing has none. */
function signed(value: number): string {
  const text = Math.abs(value).toFixed(3);
  return value < 0 && Number(text) > 0 ? `−${text}` : text;
}
