/** Probabilities within 1.3e-14 of 0 or 1 count as that far from them. */
export const LARGEST_LOG_ODDS = 32;

/** ln(p / (1 − p)), kept within ±{@linkcode LARGEST_LOG_ODDS}. */
export function logOdds(probability: number): number {
  const odds = Math.log(probability / (1 - probability)); // ±Infinity at 1 and 0
  return Math.min(LARGEST_LOG_ODDS, Math.max(-LARGEST_LOG_ODDS, odds));
}

/** The probability of these log odds: greater than 0, less than 1 within ±{@linkcode LARGEST_LOG_ODDS}. */
export function probabilityOf(logOdds: number): number {
  return 1 / (1 + Math.exp(-logOdds));
}
