import { LARGEST_LOG_ODDS, logOdds, probabilityOf } from "../../model/log_odds.ts";

/** Number of bins of {@linkcode binOf}. */
export const BINS = 4096;

/** 1/64, so that no log odds inside lie further than 1/128 from the centre of their bin. */
const WIDTH = 2 * LARGEST_LOG_ODDS / BINS;

/**
 * The bin of a probability, by its log odds: what lets a million images be summed up in bounded
 * memory.
 *
 * Whatever share the classes have, correcting for it only shifts the log odds, so a bin is as fine
 * after a correction as before: the corrected probability of an image and that of its bin's centre
 * differ by at most 1/128 · 1/4 = 0.002 (the slope of the logistic function is at most 1/4).
 * Deviations to both sides cancel in an estimated share, whose error is far smaller.
 *
 * @param probability Calibrated, of the positive class, 0 to 1.
 * @returns 0 to {@linkcode BINS} − 1.
 */
export function binOf(probability: number): number {
  return Math.min(BINS - 1, Math.floor((logOdds(probability) + LARGEST_LOG_ODDS) / WIDTH));
}

/** The probability at the centre of a bin: greater than 0, less than 1. */
export function binProbability(bin: number): number {
  return probabilityOf((bin + 0.5) * WIDTH - LARGEST_LOG_ODDS);
}
