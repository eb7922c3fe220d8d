import type { Flag } from "../model/reference/trait_flags.ts";

/** How much a flagged image's own certainty still counts. */
const TRUST_IF_FLAGGED = 0.5;

/**
 * How much an image needs to be looked at by a person, 0 to 1.
 *
 * Certainty is how far the probability is from the threshold, as a share of how far it could be on its side:
 * 0 at the threshold, 1 at a probability of 0 or 1. Each flag halves it, since a model may be sure
 * for no reason about what it has never seen: so a sure answer about an image with one flag comes
 * beside one half-way to the threshold without any.
 *
 * @param image `probability`: of the positive class, after calibration and correction.
 * @param threshold The one in force for these probabilities.
 */
export function reviewNeed(
  { probability, flags }: { probability: number; flags: readonly Flag[] },
  threshold: number,
): number {
  const room = probability >= threshold ? 1 - threshold : threshold;
  const certainty = room === 0 ? 0 : Math.abs(probability - threshold) / room;
  return 1 - certainty * TRUST_IF_FLAGGED ** flags.length;
}
