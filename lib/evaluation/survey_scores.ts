import { calibrate } from "../model/decision.ts";
import type { ModelCard } from "../model/model_card.ts";
import type { Result } from "./results.ts";

/** Width of a bin of log odds. */
const STEP = 0.01;

/** Log odds beyond this, of either sign, count as this: a probability within 1e-8 of 0 or 1. */
const MOST = 18.5;

/** How the scores of all images are distributed. */
export interface ScoreSurvey {
  /** Images that were classified. */
  images: number;
  /**
   * Log odds of the calibrated probability of the positive class, in bins 0.01 wide: enough to
   * estimate from, and as large for a million images as for ten.
   */
  logOdds: { centre: number; count: number }[];
}

/** Looks at all scores once, before any of them becomes an answer. */
export async function surveyScores(
  results: AsyncIterable<Result>,
  { decision }: Pick<ModelCard, "decision">,
): Promise<ScoreSurvey> {
  const half = Math.round(MOST / STEP);
  const counts = new Uint32Array(2 * half + 1);
  let images = 0;
  for await (const result of results) {
    if ("error" in result) continue;
    const p = calibrate(result.probabilities, decision.calibration).at(-1)!;
    const logOdds = Math.log(p) - Math.log1p(-p);
    counts[half + Math.round(Math.max(-MOST, Math.min(MOST, logOdds)) / STEP)]! += 1;
    images += 1;
  }
  const logOdds = [...counts].map((count, i) => ({ centre: STEP * (i - half), count }))
    .filter(({ count }) => count > 0);
  return { images, logOdds };
}
