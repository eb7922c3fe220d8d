import { chiSquareTail } from "./chi_square_tail.ts";

/** Smaller changes of every share end the iteration. */
const TOLERANCE = 1e-10;

/** Far more than classes that can be told apart need. */
const MOST_ITERATIONS = 5000;

/** What {@linkcode emShares} finds. */
export interface EmShares {
  /** Estimated share of each class; they sum to 1. */
  shares: number[];
  /** Twice the gain in log likelihood over the reference shares, 0 or more. */
  statistic: number;
  /**
   * Chance of such a statistic were the shares still the reference ones (likelihood-ratio test, as
   * many degrees of freedom as classes less one; images count as independent).
   */
  p: number;
}

/**
 * The shares of classes in images whose classes are not known, from the probabilities of a model
 * that was calibrated where the classes had other shares. Only the shares may differ: what images
 * of one class look like must be the same in both places.
 *
 * Expectation-maximisation of Saerens, Latinne & Decaestecker 2002 (Neural Computation 14:21-41),
 * sections 2.2 (shares) and 2.4 (test): the probabilities are corrected with the shares so far, and
 * their means are the next shares, until nothing changes.
 *
 * @param rows Calibrated class probabilities, one row an image (or a bin of like images).
 * @param reference Share of each class where the model was calibrated, all greater than 0.
 * @param weights Images of each row; one each when left out.
 * @throws {RangeError} Without images, or when a reference share is not between 0 and 1.
 */
export function emShares(
  rows: readonly (readonly number[])[],
  reference: readonly number[],
  weights?: ArrayLike<number>,
): EmShares {
  const total = weights ? rows.reduce((sum, _, i) => sum + weights[i]!, 0) : rows.length;
  if (!(total > 0)) throw new RangeError("Shares of no images cannot be estimated.");
  if (!reference.every((share) => share > 0 && share < 1)) {
    throw new RangeError(`Reference shares of ${reference.join(", ")} cannot be corrected.`);
  }
  let shares = [...reference];
  let change = Infinity;
  for (let round = 0; round < MOST_ITERATIONS && change > TOLERANCE; round++) {
    const next = new Array<number>(reference.length).fill(0);
    rows.forEach((row, i) => {
      const weight = (weights?.[i] ?? 1) / total;
      const sum = relativeLikelihood(row, shares, reference);
      row.forEach((p, k) => next[k]! += weight * p * shares[k]! / reference[k]! / sum);
    });
    change = Math.max(...next.map((share, k) => Math.abs(share - shares[k]!)));
    shares = next;
  }
  const gain = rows.reduce((sum, row, i) =>
    sum + (weights?.[i] ?? 1) *
      (Math.log(relativeLikelihood(row, shares, reference)) -
        Math.log(relativeLikelihood(row, reference, reference))), 0);
  const statistic = Math.max(0, 2 * gain); // rounding can make a gain of nothing negative
  return { shares, statistic, p: chiSquareTail(statistic, reference.length - 1) };
}

/** Likelihood of an image under some shares, up to a factor that no share changes. */
function relativeLikelihood(
  row: readonly number[],
  shares: readonly number[],
  reference: readonly number[],
): number {
  return row.reduce((sum, p, k) => sum + p * shares[k]! / reference[k]!, 0);
}
