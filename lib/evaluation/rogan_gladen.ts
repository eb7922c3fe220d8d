import type { Decision } from "../model/decision.ts";
import type { Interval } from "../metrics/interval.ts";

/** How often a model was right where the classes are known. */
export type KnownOutcomes = Omit<NonNullable<Decision["validation"]>, "scores">;

/** A true share that was worked out from a share of answers. */
export interface CorrectedShare extends Interval {
  /** 0 to 1; `null`, with `reason`, where it cannot be worked out. */
  share: number | null;
}

/** The 97.5 % point of the standard normal distribution. */
const Z = 1.959963984540054;

/**
 * Rogan and Gladen's true share of positive images behind a share of positive answers, from known
 * sensitivity and specificity: (share + specificity − 1) / (sensitivity + specificity − 1). For two
 * classes this is also the black-box shift estimate of Lipton, Wang & Smola 2018 (ICML), whose
 * inverted confusion matrix comes to the same.
 *
 * @param called Share of images that were called positive, 0 to 1.
 * @returns Below 0 or above 1 where fewer or more images are called positive than these rates allow;
 * `null` when sensitivity and specificity sum to 1 or less: such answers say nothing.
 */
export function roganGladen(
  called: number,
  sensitivity: number,
  specificity: number,
): number | null {
  const information = sensitivity + specificity - 1;
  return information > 0 ? (called + specificity - 1) / information : null;
}

/**
 * {@linkcode roganGladen} with a 95 % interval that includes the uncertainty of sensitivity and
 * specificity.
 *
 * Source of the interval: Lang & Reiczigel 2014 (Preventive Veterinary Medicine 113:13-22): normal,
 * around rates to which pseudo-observations were added, with their correction of its centre; here
 * kept within 0 to 1.
 *
 * @param called Images that were called positive, 0 to n.
 * @param n At least 1; less than the number of images where they are not independent.
 * @param known At the threshold that these answers are of.
 */
export function correctedShare(
  called: number,
  n: number,
  { truePositives, falseNegatives, trueNegatives, falsePositives }: KnownOutcomes,
): CorrectedShare {
  const [positives, negatives] = [truePositives + falseNegatives, trueNegatives + falsePositives];
  const none = (reason: string) => ({ share: null, low: null, high: null, reason });
  if (positives === 0) return none("sensitivity is not known: there was no positive image");
  if (negatives === 0) return none("specificity is not known: there was no negative image");
  const raw = roganGladen(called / n, truePositives / positives, trueNegatives / negatives);
  const nothing = "sensitivity and specificity sum to 1 or less: the answers say nothing";
  if (raw === null) return none(nothing);
  const [size, apparent] = [n + Z ** 2, (called + Z ** 2 / 2) / (n + Z ** 2)];
  const [sensitivity, ofSensitivity] = [(truePositives + 1) / (positives + 2), positives + 2];
  const [specificity, ofSpecificity] = [(trueNegatives + 1) / (negatives + 2), negatives + 2];
  const information = sensitivity + specificity - 1;
  if (information <= 0) return none(nothing);
  const adjusted = (apparent + specificity - 1) / information;
  const missed = sensitivity * (1 - sensitivity) / ofSensitivity; // variances of both rates
  const mistaken = specificity * (1 - specificity) / ofSpecificity;
  const centre = adjusted + 2 * Z ** 2 * (adjusted * missed - (1 - adjusted) * mistaken);
  const variance = apparent * (1 - apparent) / size + adjusted ** 2 * missed +
    (1 - adjusted) ** 2 * mistaken;
  const half = Z * Math.sqrt(variance) / information;
  const share = clip(raw);
  // the interval is centred elsewhere than the estimate, which must not fall outside it
  return {
    share,
    low: Math.min(share, clip(centre - half)),
    high: Math.max(share, clip(centre + half)),
  };
}

function clip(share: number): number {
  return Math.min(1, Math.max(0, share));
}
