import type { Decision } from "../run/decision.ts";
import type { Predictions } from "../run/predictions.ts";
import { between } from "./threshold.ts";

/** Validation predictions that a band is chosen on, one entry an image in every array. */
export interface BandSample extends Pick<Predictions, "probabilities"> {
  /** Whether the prediction at the threshold is right. */
  right: readonly boolean[];
  /** Patient or slide. */
  groups: readonly string[];
  threshold: number;
}

/** Chance with which an error rate that is too high may look low enough. */
const ALPHA = 0.05;

/** How many bands are tried, each wider than the one before. */
const STEPS = 40;

/** The first one holds a quarter of the images: in a narrower one a single error decides. */
const START = STEPS / 4;

/**
 * Chooses which predictions are accepted without review: calibrated probabilities at most `low` and
 * at least `high`, of which with 95 % confidence at most `errorRate` are wrong in new patients.
 *
 * - The confidence comes from patients, not images ({@linkcode chanceOfWorse}).
 * - The bands are tried in an order that no label decides, the surest images first, up to the first
 *   band that is not shown to keep the rate. So the choice among many costs no confidence (fixed
 *   sequence testing, as in Angelopoulos et al. 2021, Learn then Test).
 * - Of those shown the widest is taken. Sure images of a frequent class must not hide errors of a rare
 *   one: a class of which more than the rate are wrong here, or which is predicted in fewer than
 *   1 / rate patients, is left to review, if the other one is shown to keep the rate alone.
 *
 * The edges lie in the middle between the last accepted score and the next one, or the threshold.
 *
 * @param errorRate `config.metrics.acceptErrorRate`, above 0 and below 1.
 * @returns The band, `null` where none is shown to keep the rate, and why, in words.
 */
export function chooseAcceptBand(
  sample: BandSample,
  errorRate: number,
): Pick<Decision, "acceptBand"> & { reason: string } {
  const order = surestFirst(sample);
  const least = leastPatients(errorRate);
  const isShown = (part: Part) =>
    part.patients.size >= least && chanceOfWorse([...part.patients.values()], errorRate) <= ALPHA;
  const isSound = ({ accepted, wrong, patients }: Part) =>
    wrong <= errorRate * accepted && patients.size >= 1 / errorRate;
  let last!: Part;
  let best: Tally & { patients: number; at: number; sides: readonly (0 | 1)[] } | undefined;
  let isAnyShown = false;
  for (const { at, both, bySide } of widening(sample, order)) {
    last = both;
    if (both.patients.size < least) continue; // too narrow to show anything
    if (!isShown(both)) break;
    isAnyShown = true;
    const sides = SIDES.filter((side) => isSound(bySide[side]));
    const part = sides.length === 2 ? both : bySide[sides[0] ?? 0];
    if (sides.length === 0 || part.accepted <= (best?.accepted ?? 0)) continue;
    // a probability of exactly 0 or 1 is in every band
    const isAlone = sides.length === 1 && !sample.probabilities.includes(1 - sides[0]!);
    if (part !== both && !(isAlone && isShown(part))) continue;
    best = { ...part, patients: part.patients.size, at, sides };
  }
  const of = `of ${sample.right.length} validation images`;
  const unit = new Set(sample.groups).size < sample.groups.length ? "patients or slides" : "images";
  const limit = percent(errorRate);
  if (!best) {
    const why = isAnyShown
      ? `the surest ${of} keep to ${limit} errors together, but those of one class do not, or come ` +
        `from too few ${unit}.`
      : missing(last, errorRate, of, unit);
    return { acceptBand: null, reason: `Every prediction is for a person to review: ${why}` };
  }
  const { accepted, wrong, patients, at, sides } = best;
  const { low, high } = edges(sample, order, at, sides);
  const reason = `Accepted without review: probabilities up to ${low.toFixed(4)} and from ` +
    `${high.toFixed(4)} on. Those are ${accepted} ${of}, ${wrong} of them wrong. With 95 % ` +
    `confidence, from ${patients} ${unit}, at most ${limit} are wrong in new ones like them.`;
  return { acceptBand: { low, high, errorRate }, reason };
}

/** Why a band was not shown to keep the rate, and what would show it, in words. */
function missing(
  { accepted, wrong, patients: byName }: Part,
  errorRate: number,
  of: string,
  unit: string,
): string {
  const patients = [...byName.values()];
  const [count, limit, least] = [patients.length, percent(errorRate), leastPatients(errorRate)];
  if (count < least) {
    return `${count} ${unit} are too few. Without an error they would show, with 95 % confidence, ` +
      `that at most ${percent(1 - ALPHA ** (1 / count))} of predictions are wrong; ${limit} ` +
      `(metrics.acceptErrorRate) takes ${least} without an error.`;
  }
  const bound = bisect(errorRate, 1, (rate) => chanceOfWorse(patients, rate) <= ALPHA);
  const needed = patientsNeeded(patients, errorRate);
  return `of the ${accepted} surest ${of}, from ${count} ${unit}, ${wrong} are wrong. That shows, ` +
    `with 95 % confidence, that at most ${percent(bound)} are, not ${limit}; ` +
    (needed
      ? `${needed} ${unit} with as few errors would.`
      : `more ${unit} with as many errors would not.`);
}

const percent = (rate: number) => `${Number((100 * rate).toPrecision(3))} %`;

/** Images accepted, and how many of those are predicted wrongly. */
export type Tally = Record<"accepted" | "wrong", number>;

/**
 * The chance, from 0 to 1, that a test gives patients like these, or better ones, although in new
 * patients more than `rate` of the accepted predictions are wrong: its p-value. Patients, not images,
 * are its independent witnesses; it supposes nothing of how alike images of one patient are.
 *
 * Each patient's share of errors counts with a random exponential weight, and so does that of one more
 * patient, never seen, in whom all are wrong. This is the chance that the weighted mean is above the
 * rate: the test of a mean of Gaffke 2005 (Learned-Miller & Thomas 2020, arXiv 1905.06208). Where all
 * images of a patient are right or all wrong, and so with one image a patient, it is the exact bound of
 * Clopper & Pearson 1934. Elsewhere no case is known in which it promises too much, though no proof
 * rules it out. A patient counts as one however many images there are: if patients with many images
 * err more than others, so do images on the whole.
 *
 * The chance is found by Davies 1980 (Applied Statistics 29, AS 155), to about 1e-8.
 *
 * @param patients At least five, each with an accepted image.
 * @param rate Above 0 and below 1.
 * @param times How often each patient is counted.
 */
export function chanceOfWorse(patients: readonly Tally[], rate: number, times = 1): number {
  const weights = new Map([[1 - rate, 1]]);
  for (const { accepted, wrong } of patients) {
    const excess = wrong / accepted - rate;
    weights.set(excess, (weights.get(excess) ?? 0) + times);
  }
  let [mean, variance, largest] = [0, 0, 0];
  for (const [weight, count] of weights) {
    mean += count * weight;
    variance += count * weight ** 2;
    largest = Math.max(largest, Math.abs(weight));
  }
  // the sum lies within 2π / step but for a chance of about e^-30
  const step = 2 * Math.PI / (Math.abs(mean) + 8 * Math.sqrt(variance) + 30 * largest);
  let sum = 0;
  for (let k = 0.5, fall = 0; fall < 20; k++) {
    let angle = fall = 0;
    for (const [weight, count] of weights) {
      const x = k * step * weight;
      angle += count * Math.atan(x);
      fall += count * Math.log1p(x * x) / 2;
    }
    sum += Math.sin(angle) * Math.exp(-fall) / k;
  }
  return 0.5 + sum / Math.PI;
}

/** The fewest patients that show an error rate, without an error in any. */
const leastPatients = (rate: number) => Math.ceil(Math.log(ALPHA) / Math.log1p(-rate) - 1e-9);

/** How many patients like these would show an error rate; `null` where a thousand times as many do not. */
function patientsNeeded(patients: readonly Tally[], rate: number): number | null {
  const shows = (times: number) => chanceOfWorse(patients, rate, times) <= ALPHA;
  return shows(1000) ? Math.ceil(patients.length * bisect(1, 1000, shows)) : null;
}

/** The least number between two from which on something holds, as it does at `high`. */
function bisect(low: number, high: number, holds: (middle: number) => boolean): number {
  for (let i = 0; i < 20; i++) {
    const middle = (low + high) / 2;
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** What is accepted of both classes or of one: in all, and of each patient with any. */
interface Part extends Tally {
  patients: Map<string, Tally>;
}

/** Below the threshold and above it, where a probability of 0 and of 1 is the surest. */
const SIDES = [0, 1] as const;

const sideOf = ({ probabilities, threshold }: BandSample, image: number) =>
  probabilities[image]! < threshold ? 0 : 1;

/** The chance of error that the probability of an image stands for. */
const doubtOf = (sample: BandSample, image: number) =>
  Math.abs(sideOf(sample, image) - sample.probabilities[image]!);

function surestFirst(sample: BandSample): number[] {
  const doubts = sample.right.map((_, image) => doubtOf(sample, image));
  return [...doubts.keys()].sort((a, b) => doubts[a]! - doubts[b]!);
}

/**
 * The bands to try, each with the first `at` images of the order, and more than the one before. Tied
 * images stay together. What it gives is counted on once the next band is asked for.
 */
function* widening(sample: BandSample, order: readonly number[]) {
  const nothing = (): Part => ({ accepted: 0, wrong: 0, patients: new Map() });
  const both = nothing();
  const bySide = [nothing(), nothing()] as const;
  const isTied = (at: number) => doubtOf(sample, order[at]!) === doubtOf(sample, order[at - 1]!);
  let at = 0;
  for (let step = START; step <= STEPS; step++) {
    const end = Math.ceil(order.length * step / STEPS);
    if (at >= end) continue;
    while (at < end || (at < order.length && isTied(at))) {
      const image = order[at++]!;
      const group = sample.groups[image]!;
      for (const part of [both, bySide[sideOf(sample, image)]]) {
        const patient = part.patients.get(group) ?? { accepted: 0, wrong: 0 };
        part.patients.set(group, patient);
        for (const tally of [part, patient]) {
          tally.accepted++;
          if (!sample.right[image]) tally.wrong++;
        }
      }
    }
    yield { at, both, bySide };
  }
}

/** The scores between the images that are accepted, on the given sides, and those that are not. */
function edges(
  sample: BandSample,
  order: readonly number[],
  at: number,
  sides: readonly (0 | 1)[],
): { low: number; high: number } {
  const edgeOf = (side: 0 | 1): number => {
    const isOn = (image: number) => sideOf(sample, image) === side;
    const last = order.slice(0, at).findLast(isOn);
    if (!sides.includes(side) || last === undefined) return side;
    const next = order.slice(at).find(isOn);
    const to = next === undefined ? sample.threshold : sample.probabilities[next]!;
    const from = sample.probabilities[last]!;
    if (side === 1) return between(to, from);
    const middle = between(from, to);
    return middle < to ? middle : from;
  };
  return { low: edgeOf(0), high: edgeOf(1) };
}
