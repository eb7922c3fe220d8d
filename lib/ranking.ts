/** Images in falling order of probability, with ties marked. */
export interface Ranking {
  /** Indices of the images, most probable first. */
  order: Uint32Array;
  /** 1 at a position of `order` whose successor has a lower probability, and at the last one. */
  endsTie: Uint8Array;
}

/** Sorts images by falling probability, once, for all scores that need the order. */
export function rankByProbability(probabilities: ArrayLike<number>): Ranking {
  const order = Uint32Array.from({ length: probabilities.length }, (_, i) => i)
    .sort((a, b) => probabilities[b]! - probabilities[a]!);
  const endsTie = Uint8Array.from(
    order,
    (image, at) =>
      at + 1 === order.length || probabilities[order[at + 1]!] !== probabilities[image] ? 1 : 0,
  );
  return { order, endsTie };
}

/** The ranking in which the least probable image comes first. */
export function reverseRanking({ order, endsTie }: Ranking): Ranking {
  const n = order.length;
  return {
    order: order.toReversed(),
    endsTie: endsTie.map((_, at) => at + 1 === n ? 1 : endsTie[n - 2 - at]!),
  };
}

/**
 * How often each image counts in a resample, with the ranking that was worked out before: what
 * makes two thousand resamples of a rank-based score cheap.
 */
export interface Resample {
  ranking: Ranking;
  weights: ArrayLike<number>;
}
