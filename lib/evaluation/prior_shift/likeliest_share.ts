/** Close enough for an interval that is read with three digits. */
const TOLERANCE = 1e-7;

const MOST_STEPS = 60;

/**
 * The share of the positive class at which EM of two classes ends (see `emShares`), found directly:
 * the log likelihood is concave in the one share, so that Newton's steps, kept in a bracket, reach
 * its maximum in some five passes where EM may take hundreds. A thousand resamples need that.
 *
 * @param probabilities Calibrated, of the positive class, one a bin, all between 0 and 1.
 * @param weights Images of each bin, not all 0.
 * @param reference Share of the positive class where the model was calibrated.
 * @param start A guess, 0 to 1.
 */
export function likeliestShare(
  probabilities: Float64Array,
  weights: Float64Array,
  reference: number,
  start: number,
): number {
  if (slopes(probabilities, weights, reference, 0).first <= 0) return 0;
  if (slopes(probabilities, weights, reference, 1).first >= 0) return 1;
  let [low, high] = [0, 1];
  let share = start > 0 && start < 1 ? start : 0.5;
  for (let step = 0; step < MOST_STEPS; step++) {
    const { first, second } = slopes(probabilities, weights, reference, share);
    if (first > 0) low = share;
    else high = share;
    const newton = share - first / second;
    const next = newton > low && newton < high ? newton : (low + high) / 2;
    const change = Math.abs(next - share);
    share = next;
    if (change < TOLERANCE) break;
  }
  return share;
}

/** First and second derivative of the log likelihood of a share. */
function slopes(
  probabilities: Float64Array,
  weights: Float64Array,
  reference: number,
  share: number,
): { first: number; second: number } {
  let [first, second] = [0, 0];
  for (let i = 0; i < probabilities.length; i++) {
    const weight = weights[i]!;
    if (weight === 0) continue;
    const p = probabilities[i]!;
    const negative = (1 - p) / (1 - reference);
    const difference = p / reference - negative;
    const slope = difference / (negative + share * difference);
    first += weight * slope;
    second -= weight * slope * slope;
  }
  return { first, second };
}
