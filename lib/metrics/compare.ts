import { deviation, mean } from "d3-array";
import jstat from "jstat";
import { reasonOf } from "../core/errors.ts";
import { projectRoot, runPaths } from "../core/paths.ts";
import { rankByProbability, rocAuc } from "../core/stats.ts";
import { images, scoreTitle } from "../core/words.ts";
import type { Interval } from "../run/metrics_file.ts";
import { type PredictionRow, readPredictions } from "../run/predictions.ts";
import type { RunSummary } from "../run/run.ts";
import { readSplit, type SplitRow } from "../run/split_file.ts";
import { chanceOfLead } from "./baseline.ts";
import { eachResample, percentileInterval, sharedGroups } from "./intervals.ts";

/** What a run predicted for its test images. */
export interface TestedRun {
  run: string;
  /** Class folder names, the positive one last. */
  classes: readonly string[];
  rows: readonly (PredictionRow & Pick<SplitRow, "group" | "sha256">)[];
}

const SCORES = ["roc_auc", "accuracy"] as const;

/** The scores that runs are compared by. */
type ComparedScore = (typeof SCORES)[number];

/** One test of the null hypothesis that two runs do not differ in a score. */
interface DifferenceTest {
  score: ComparedScore;
  /** Its name. */
  by: string;
  /** The difference that was tested: the run's score less that of the reference. */
  difference: number;
  /** Two-sided. */
  p: number;
  /** The same after Holm's correction over all tests of all runs. */
  adjusted: number;
}

/** How one run differs from the one that all are compared with. */
export interface Comparison {
  run: string;
  /** Its scores less those of the reference, on all test images; none where they do not compare. */
  differences: Partial<Record<ComparedScore, Interval & { value: number | null }>>;
  tests: DifferenceTest[];
  /** "no difference shown", what is shown ("Accuracy higher"), or why the two do not compare. */
  verdict: string;
}

/** Runs compared with one of them, the reference. */
export type Comparisons = { reference: string; comparisons: Comparison[] };

/** The level below which chance is no longer a fair explanation. */
const ALPHA = 0.05;

/** Fewer are no folds of a split: each tests, validates and learns. */
const FEWEST_FOLDS = 3;

/**
 * Compares runs by the predictions in results/RUN/, with the first that has usable ones.
 *
 * @returns `null` with fewer than two runs. One whose predictions are missing, damaged or of an
 * earlier model is not comparable, and says why.
 */
export async function compareTests(
  runs: readonly Pick<RunSummary, "run" | "config" | "test">[],
): Promise<Comparisons | null> {
  const tested: (TestedRun & { seed: number })[] = [];
  const unusable: Comparison[] = [];
  for (const { run, config, test } of runs) {
    try {
      if (!test) throw new Error("it has no test scores of its present model: run notebook 06");
      const { predictionsTest, split } = runPaths(run);
      const places = new Map((await readSplit(split)).map((row) => [row.path, row]));
      const rows = (await readPredictions(predictionsTest)).map((row) => {
        const { group, sha256 } = places.get(row.path) ?? {};
        if (group === undefined || sha256 === undefined) {
          throw new Error(`${row.path} is not in its split.csv: run notebook 06 again`);
        }
        return { ...row, group, sha256 };
      });
      tested.push({ run, classes: config.data.classes, rows, seed: config.seed });
    } catch (error) {
      unusable.push(notComparable(run, reasonOf(error).replaceAll(`${projectRoot}/`, "")));
    }
  }
  const [reference, ...others] = tested;
  if (!reference || runs.length < 2) return null;
  const compared = compareTested(reference, others, reference.seed);
  return { reference: reference.run, comparisons: [...compared, ...unusable] };
}

/**
 * Tests whether runs differ from a reference by more than chance, on the same test images.
 *
 * - Right and wrong predictions: exact sign-flip test by patient or slide, which is the exact McNemar
 *   test where every image is its own group.
 * - With three folds or more, accuracy and AUC of each: {@linkcode correctedResampledTest}, which
 *   counts in that another training would have come out differently.
 * - Without folds, the AUC: its difference over the standard deviation among bootstrap resamples of
 *   whole groups, by Student's t with a degree of freedom less than there are groups.
 *
 * p is Holm's over all of these tests of all runs, so that at most one table in twenty shows a
 * difference where there is none.
 */
export function compareTested(
  reference: TestedRun,
  others: readonly TestedRun[],
  seed: string | number,
): Comparison[] {
  const compared = others.map((other) => {
    const reason = whyNot(reference, other);
    return reason === null ? comparePair(reference, other, seed) : notComparable(other.run, reason);
  });
  const adjusted = holm(compared.flatMap(({ tests }) => tests.map(({ p }) => p))).values();
  return compared.map((comparison) => {
    if (comparison.verdict) return comparison;
    const tests = comparison.tests.map((test) => ({ ...test, adjusted: adjusted.next().value! }));
    const shown = tests.filter((test) => test.adjusted < ALPHA).map(({ score, difference }) =>
      `${scoreTitle(score)} ${difference > 0 ? "higher" : "lower"}`
    );
    const verdict = [...new Set(shown)].join(", ") || "no difference shown";
    return { ...comparison, tests, verdict };
  });
}

function notComparable(run: string, reason: string): Comparison {
  return { run, differences: {}, tests: [], verdict: `not comparable: ${reason}` };
}

/** What must be the same of an image in both runs, as it stands in "2 images have another …". */
const SAME = { sha256: "content", label: "label", group: "group", fold: "fold" } as const;

/** Why the predictions of two runs do not compare; `null` where they do. */
function whyNot(reference: TestedRun, { classes, rows }: TestedRun): string | null {
  if (classes.join("\n") !== reference.classes.join("\n")) return "its classes are others";
  const own = new Map(rows.map((row) => [row.path, row]));
  const shared = reference.rows.filter(({ path }) => own.has(path));
  if (shared.length < reference.rows.length || shared.length < rows.length) {
    return `its test images are others (${images(shared.length)} of ${
      Math.max(rows.length, reference.rows.length)
    } in both)`;
  }
  for (const [field, word] of Object.entries(SAME) as [keyof typeof SAME, string][]) {
    const differs = (row: TestedRun["rows"][number]) =>
      (row[field] ?? "") !== (own.get(row.path)![field] ?? "");
    const differing = shared.filter(differs).length;
    if (differing > 0) {
      return `${images(differing)} ${differing === 1 ? "has" : "have"} another ${word} in it`;
    }
  }
  return null;
}

/** Differences and tests, not adjusted yet, of two runs that were tested on the same images. */
function comparePair(reference: TestedRun, other: TestedRun, seed: string | number): Comparison {
  const { rows } = reference;
  const groups = sharedGroups(rows.map(({ group }) => group));
  const { leads, differencesOf } = pairScores(reference, other);
  const observed = differencesOf(new Uint32Array(rows.length).fill(1));
  const drawn: ReturnType<typeof differencesOf>[] = [];
  const visit = (weights: Uint32Array) => void drawn.push(differencesOf(weights));
  const units = eachResample(visit, { n: rows.length, seed, groups });
  const defined = (of: typeof drawn, score: ComparedScore) =>
    of.map((values) => values[score]).filter((value) => value !== null);
  const differences: Comparison["differences"] = {};
  for (const score of SCORES) {
    const interval = percentileInterval(defined(drawn, score), { units, groups });
    differences[score] = { value: observed[score], ...interval };
  }
  const tests: DifferenceTest[] = [];
  const add = (score: ComparedScore, by: string, difference: number | null, p: number | null) => {
    if (difference !== null && p !== null) tests.push({ score, by, difference, p, adjusted: p });
  };
  const ahead = observed.accuracy < 0 ? leads.map((lead) => -lead) : leads;
  const flips = groups ? `sign-flip, ${units} groups` : "McNemar";
  add("accuracy", flips, observed.accuracy, Math.min(1, 2 * chanceOfLead(ahead, groups)));
  const folds = [...new Set(rows.map(({ fold }) => fold))].filter((fold) => fold);
  if (folds.length < FEWEST_FOLDS) {
    const { roc_auc } = observed;
    const error = (deviation(defined(drawn, "roc_auc")) ?? 0) * Math.sqrt(units / (units - 1));
    const p = studentTails(roc_auc ?? 0, error, units - 1);
    add("roc_auc", `t, ${units} ${groups ? "groups" : "images"}`, roc_auc, p);
  } else {
    const byFold = folds.map((name) =>
      differencesOf(rows.map(({ fold }) => fold === name ? 1 : 0))
    );
    for (const score of SCORES) {
      const values = defined(byFold, score);
      // a member learns from all folds but the one that tests and the one that validates it
      const p = correctedResampledTest(values, 1 / (folds.length - 2));
      add(score, `corrected t, ${values.length} folds`, mean(values) ?? null, p);
    }
  }
  return { run: other.run, differences, tests, verdict: "" };
}

/**
 * Of each image whether the other run alone is right (1), or the reference alone (-1); and how the
 * scores differ when image i counts `weights[i]` times.
 */
function pairScores({ classes, rows }: TestedRun, other: TestedRun) {
  const own = new Map(other.rows.map((row) => [row.path, row]));
  const labels = rows.map(({ label }) => label === classes.at(-1) ? 1 : 0);
  const sides = [rows, rows.map(({ path }) => own.get(path)!)].map((side) => {
    const probabilities = side.map(({ probability }) => probability);
    const right = side.map(({ label, predicted }) => label === predicted ? 1 : 0);
    return { probabilities, right, ranking: rankByProbability(probabilities) };
  });
  const leads = rows.map((_, i) => sides[1]!.right[i]! - sides[0]!.right[i]!);
  const differencesOf = (weights: ArrayLike<number>) => {
    const [reference, run] = sides.map(({ probabilities, ranking }) =>
      rocAuc(labels, probabilities, { ranking, weights })
    );
    let [lead, counted] = [0, 0];
    for (let i = 0; i < leads.length; i++) {
      lead += weights[i]! * leads[i]!;
      counted += weights[i]!;
    }
    const roc_auc = reference == null || run == null ? null : run - reference;
    return { roc_auc, accuracy: lead / counted };
  };
  return { leads, differencesOf };
}

/**
 * The corrected resampled t-test of Nadeau & Bengio (2003, Machine Learning 52:239-281): two-sided p
 * of differences by fold, whose variance counts 1/k + testOverTrain times instead of 1/k, since the
 * trainings share images.
 *
 * @param testOverTrain Test images for each training image of a fold.
 * @returns `null` with fewer than two differences, or the same one in all that is not 0: nothing
 * then says how it varies.
 */
export function correctedResampledTest(
  differences: readonly number[],
  testOverTrain: number,
): number | null {
  const spread = deviation(differences);
  if (spread === undefined) return null;
  const error = Math.sqrt(1 / differences.length + testOverTrain) * spread;
  return studentTails(mean(differences)!, error, differences.length - 1);
}

/** The regularised incomplete beta function; jstat brings no types. */
const { ibeta } = jstat as unknown as { ibeta(x: number, a: number, b: number): number };

/** Spreads below this are rounding errors. */
const NO_SPREAD = 1e-10;

/** Two-sided p of a difference with this standard error, as `2 * scipy.stats.t.sf` to 1e-7. */
function studentTails(difference: number, error: number, freedom: number): number | null {
  if (!(freedom >= 1 && error > NO_SPREAD)) return Math.abs(difference) < NO_SPREAD ? 1 : null;
  return ibeta(freedom / (freedom + (difference / error) ** 2), freedom / 2, 0.5);
}

/**
 * Holm's step-down correction (1979, Scandinavian Journal of Statistics 6:65-70): each p times the
 * number of tests that have none smaller before them, never less than a smaller one came to.
 */
export function holm(ps: readonly number[]): number[] {
  const adjusted = new Array<number>(ps.length);
  let least = 0;
  for (const [rank, i] of [...ps.keys()].sort((a, b) => ps[a]! - ps[b]!).entries()) {
    adjusted[i] = least = Math.max(least, Math.min(1, (ps.length - rank) * ps[i]!));
  }
  return adjusted;
}
