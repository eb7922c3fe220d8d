import { createRandom } from "../../random.ts";
import { balanceFromManyStarts } from "../../split/balance.ts";

/** Folds at most; fewer where a class has fewer groups. */
const MOST_FOLDS = 5;
/** Random starts beside the first; folds need not be balanced to the last image. */
const STARTS = 4;

/** The fold of every image, or why there are none. */
export type Folds = { foldOf: number[]; folds: number } | { reason: string };

/**
 * Stratified folds in which no group is divided, five at most.
 *
 * @param labels Index of each image's class.
 * @param groups Patient or slide of each image.
 * @param classes Number of classes.
 * @param names Of the classes, for the reason.
 * @returns No folds when a class is absent or comes from one group alone, or when whole groups do
 * not allow every class to be both in a fold and outside it.
 */
export function calibrationFolds(
  { labels, groups, classes, seed }: {
    labels: readonly number[];
    groups: readonly string[];
    classes: readonly string[];
    seed: number;
  },
): Folds {
  const units = [...Map.groupBy(labels.keys(), (i) => groups[i]!).values()];
  const counts = units.map((images) =>
    classes.map((_, k) => images.filter((i) => labels[i] === k).length)
  );
  const groupsOf = classes.map((_, k) => counts.filter((unit) => unit[k]! > 0).length);
  const fewest = Math.min(...groupsOf);
  if (fewest < 2) {
    const name = classes[groupsOf.indexOf(fewest)]!;
    const reason = fewest === 0
      ? `no validation image is of the class ${name}`
      : `the validation images of the class ${name} all come from one group`;
    return { reason };
  }
  const folds = Math.min(MOST_FOLDS, fewest);
  const fractions = new Array<number>(folds).fill(1 / folds);
  const random = createRandom(`${seed}/calibration`);
  const { subsets } = balanceFromManyStarts(counts, fractions, random, STARTS);
  const foldOf = new Array<number>(labels.length);
  units.forEach((images, unit) => images.forEach((i) => foldOf[i] = subsets[unit]!));
  const isSpread = classes.every((_, k) =>
    new Set(foldOf.filter((_, i) => labels[i] === k)).size > 1
  );
  return isSpread ? { foldOf, folds } : {
    reason: "the groups of the validation images cannot be divided so that it could be tested",
  };
}
