import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import type { ManifestRow } from "../../lib/run/manifest.ts";
import { SUBSETS } from "../../lib/run/split_file.ts";
import { stratifiedSplit } from "../../lib/split/split.ts";
import { askPython } from "../ask_python.ts";
import { manifestRow } from "./manifest_rows.ts";

const fractions = { train: 0.7, validation: 0.15, test: 0.15 };

const CASES = 100;

/** Slides of very different size and share of sclerotic glomeruli (4 to 40 % in all), as they come. */
function randomCase(seed: number): ManifestRow[] {
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

/** How far a division is from the request; 0 is perfect. */
interface Imbalance {
  /** Mean over subsets and classes of |share of the class that is in the subset − fraction|. */
  shares: number;
  /** Mean over subsets of |share of all images that is in the subset − fraction|. */
  sizes: number;
  /** Mean over subsets of |share of sclerotic images in the subset − that in all|. */
  ratios: number;
}

function imbalance(subsets: readonly number[], labels: readonly number[]): Imbalance {
  const perSubset = SUBSETS.map((subset, s) => {
    const own = labels.filter((_, i) => subsets[i] === s);
    const [positives, all] = [sum(own), sum(labels)];
    const fraction = fractions[subset];
    const negatives = own.length - positives;
    return {
      shares: (Math.abs(positives / all - fraction) +
        Math.abs(negatives / (labels.length - all) - fraction)) / 2,
      sizes: Math.abs(own.length / labels.length - fraction),
      ratios: Math.abs(positives / own.length - all / labels.length),
    };
  });
  const mean = (name: keyof Imbalance) => sum(perSubset.map((value) => value[name])) / 3;
  return { shares: mean("shares"), sizes: mean("sizes"), ratios: mean("ratios") };
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

Deno.test("stratifiedSplit() is better balanced than scikit-learn's StratifiedGroupKFold", async () => {
  const cases = Array.from({ length: CASES }, (_, seed) => randomCase(seed));
  const labelsOf = (rows: readonly ManifestRow[]) =>
    rows.map(({ label }) => label === "sclerotic" ? 1 : 0);
  const divisions = await askPython(
    join(import.meta.dirname!, "stratified_group_k_fold.py"),
    cases.map((rows, seed) => ({
      groups: rows.map(({ group }) => group),
      labels: labelsOf(rows),
      seed,
    })),
  ) as number[][];
  const ours = cases.map((rows, seed) => {
    const split = stratifiedSplit(rows, fractions, seed, []);
    const subsetOf = new Map(split.map(({ path, subset }) => [path, SUBSETS.indexOf(subset)]));
    return imbalance(rows.map(({ path }) => subsetOf.get(path)!), labelsOf(rows));
  });
  const theirs = cases.map((rows, i) => imbalance(divisions[i]!, labelsOf(rows)));
  for (const name of ["shares", "sizes", "ratios"] as const) {
    const mean = (of: readonly Imbalance[]) => sum(of.map((value) => value[name])) / CASES;
    const excess = ours.map((own, i) => own[name] - theirs[i]![name]);
    const worse = excess.filter((value) => value > 1e-12).length;
    console.log(
      `${name}: mean imbalance ${mean(ours).toFixed(5)}, StratifiedGroupKFold ` +
        `${mean(theirs).toFixed(5)}; worse in ${worse} of ${CASES}, by ${
          Math.max(0, ...excess).toFixed(5)
        } at most`,
    );
    assert.ok(mean(ours) < mean(theirs) / 5, name);
    assert.ok(Math.max(...excess) < 0.002, name);
  }
});
