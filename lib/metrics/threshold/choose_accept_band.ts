import type { Decision } from "../../model/decision.ts";
import { between } from "./between.ts";
import { fewestImages, mostErrors } from "./most_errors.ts";

/** Validation predictions that a band is chosen on, one entry an image in every array. */
export interface BandSample {
  /** Calibrated probability of the positive class. */
  probabilities: readonly number[];
  /** Whether the answer at the threshold is right. */
  right: readonly boolean[];
  threshold: number;
}

/** A band, or none, and why. */
export interface BandChoice {
  acceptBand: Decision["acceptBand"];
  reason: string;
}

/**
 * The band that accepts most validation images while their error rate keeps to a limit: images at
 * most `low` and at least `high` on either side of the threshold.
 *
 * What keeps to the limit is the exact one-sided 95 % upper bound of the error rate, not the rate
 * itself: ten images without an error show little, and no band is chosen from them. On neither side
 * may the plain rate exceed the limit, so that many sure answers of the frequent class do not hide
 * wrong ones of the rare class. The edges lie in the middle between the last accepted score and the
 * next one, or the threshold. The bound takes images as independent and does not know that the band
 * was chosen on them, so it is a little on the low side.
 *
 * @param errorRate `config.metrics.acceptErrorRate`, above 0 and below 1.
 */
export function chooseAcceptBand(sample: BandSample, errorRate: number): BandChoice {
  const n = sample.probabilities.length;
  const percent = `${Number((100 * errorRate).toPrecision(3))} %`;
  const limits = mostErrors(n, errorRate);
  const keeps = ({ accepted, errors }: Side) => errors <= errorRate * accepted;
  const [lows, highs] = [lowSides(sample).filter(keeps), highSides(sample).filter(keeps)];
  let best: { low: Side; high: Side } | null = null;
  let [most, fewest] = [0, 0];
  for (const low of lows) {
    for (const high of highs) {
      const accepted = low.accepted + high.accepted;
      const errors = low.errors + high.errors;
      if (accepted < most || errors > limits[accepted]!) continue;
      if (accepted === most && (best === null || errors >= fewest)) continue;
      best = { low, high };
      [most, fewest] = [accepted, errors];
    }
  }
  if (best === null) {
    return {
      acceptBand: null,
      reason: `Every answer is for a person to review: the ${n} validation images do not show ` +
        `for any part of them that at most ${percent} are wrong, with 95 % confidence ` +
        `(${fewestImages(errorRate)} without an error would).`,
    };
  }
  return {
    acceptBand: { low: best.low.edge, high: best.high.edge, errorRate },
    reason: `Accepted without review: probabilities up to ${best.low.edge.toFixed(4)} and from ` +
      `${best.high.edge.toFixed(4)} on. On validation that is ${most} of ${n} images, ${fewest} ` +
      `of them wrong; with 95 % confidence at most ${percent} are, if images of one patient err ` +
      "independently of each other.",
  };
}

/** Images accepted on one side of the threshold: those from the end of the range to the edge. */
interface Side {
  edge: number;
  accepted: number;
  errors: number;
}

function lowSides({ probabilities, right, threshold }: BandSample): Side[] {
  const images = [...probabilities.keys()].filter((i) => probabilities[i]! < threshold)
    .sort((a, b) => probabilities[a]! - probabilities[b]!);
  const scores = images.map((i) => probabilities[i]!);
  const edge = (last: number, next: number) => {
    const middle = between(last, next);
    return middle < next ? middle : last;
  };
  // nothing is below 0, so that no edge leaves out an image that scores 0
  const none = scores[0] === 0 ? [] : [{ edge: 0, accepted: 0, errors: 0 }];
  return [...none, ...sides(scores, images.map((i) => right[i]!), threshold, edge)];
}

function highSides({ probabilities, right, threshold }: BandSample): Side[] {
  const images = [...probabilities.keys()].filter((i) => probabilities[i]! >= threshold)
    .sort((a, b) => probabilities[b]! - probabilities[a]!);
  const scores = images.map((i) => probabilities[i]!);
  const none = scores[0] === 1 ? [] : [{ edge: 1, accepted: 0, errors: 0 }];
  const edge = (last: number, next: number) => between(next, last);
  return [...none, ...sides(scores, images.map((i) => right[i]!), threshold, edge)];
}

/**
 * What may be accepted on one side, the most certain image first. Tied images stay together. Of
 * several choices with equally many errors only the widest is kept: it is never worse.
 */
function sides(
  scores: readonly number[],
  right: readonly boolean[],
  threshold: number,
  edge: (last: number, next: number) => number,
): Side[] {
  const found: Side[] = [];
  let errors = 0;
  scores.forEach((score, at) => {
    if (!right[at]) errors++;
    const next = scores[at + 1] ?? threshold;
    if (at + 1 < scores.length && next === score) return;
    if (found.at(-1)?.errors === errors) found.pop();
    found.push({ edge: edge(score, next), accepted: at + 1, errors });
  });
  return found;
}
