import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/random.ts";
import { SUBSETS } from "../../lib/split/split.ts";
import { stratifiedSplit } from "../../lib/split/stratified_split.ts";
import { askPython } from "../ask_python.ts";
import { manifestRow } from "./manifest_rows.ts";

const fractions = { train: 0.7, validation: 0.15, test: 0.15 };
const CASES = 100;

/** Slides of very different size and share of sclerotic glomeruli, as they come. */
function randomCase(seed: number) {
  const random = createRandom(`case/${seed}`);
  const share = 0.04 + 0.36 * random.next();
  const slides = Array.from({ length: 20 + random.integer(60) }, () => ({
    images: 1 + Math.floor(60 * random.next() ** 3),
    share: Math.min(0.95, share * 2 * random.next()),
  }));
  return slides.flatMap(({ images, share }, slide) =>
    Array.from({ length: images }, () => ({ slide, positive: random.next() < share }))
  ).map(({ slide, positive }, i) => manifestRow(i, positive, `S${slide}`));
}

/** Mean over subsets and classes of how far the class's share in the subset is from the request. */
function imbalance(subsets: readonly number[], labels: readonly number[]): number {
  const differences = [0, 1].flatMap((label) => {
    const own = subsets.filter((_, i) => labels[i] === label);
    return SUBSETS.map((subset, s) =>
      Math.abs(own.filter((value) => value === s).length / own.length - fractions[subset])
    );
  });
  return differences.reduce((sum, value) => sum + value, 0) / differences.length;
}

Deno.test("stratifiedSplit() is better balanced than scikit-learn's StratifiedGroupKFold", async () => {
  const cases = Array.from({ length: CASES }, (_, seed) => randomCase(seed));
  const labelsOf = (rows: typeof cases[0]) =>
    rows.map(({ label }) => label === "sclerotic" ? 1 : 0);
  const theirs = await askPython(
    join(import.meta.dirname!, "stratified_group_k_fold.py"),
    cases.map((rows, seed) => ({
      groups: rows.map(({ group }) => group),
      labels: labelsOf(rows),
      seed,
    })),
  ) as number[][];
  let worse = 0;
  const sums = { ours: 0, theirs: 0 };
  for (const [i, rows] of cases.entries()) {
    const subsetOf = new Map(
      stratifiedSplit(rows, fractions, i, []).map(({ path, subset }) => [path, subset]),
    );
    const ours = rows.map(({ path }) => SUBSETS.indexOf(subsetOf.get(path)!));
    const [own, other] = [imbalance(ours, labelsOf(rows)), imbalance(theirs[i]!, labelsOf(rows))];
    sums.ours += own;
    sums.theirs += other;
    if (own > other + 1e-12) worse++;
  }
  console.log(
    `mean imbalance ${(sums.ours / CASES).toFixed(4)}, ` +
      `StratifiedGroupKFold ${(sums.theirs / CASES).toFixed(4)}; worse in ${worse} of ${CASES}`,
  );
  assert.ok(sums.ours < sums.theirs / 3);
  assert.ok(worse <= CASES / 50, `worse in ${worse} of ${CASES}`);
});
