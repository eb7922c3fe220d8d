import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import { createRandom } from "../../lib/core/random.ts";
import type { ManifestRow } from "../../lib/run/manifest.ts";
import {
  type Fractions,
  type SplitRow,
  splitText,
  subsetCounts,
  SUBSETS,
} from "../../lib/run/split_file.ts";
import { balanceFromManyStarts } from "../../lib/split/balance.ts";
import { stratifiedSplit } from "../../lib/split/split.ts";
import { askPython } from "../ask_python.ts";
import { manifestRow } from "./manifest_rows.ts";

const fractions: Fractions = { train: 0.7, validation: 0.15, test: 0.15 };

/** Images of many slides: [slide, positive] pairs. */
const manifests = fc.array(fc.tuple(fc.nat(30), fc.boolean()), { minLength: 40, maxLength: 200 })
  .map((images) => images.map(([slide, positive], i) => manifestRow(i, positive, `S${slide}`)));

const pairsOf = (rows: readonly ManifestRow[], links: readonly (readonly [number, number])[]) =>
  links.map(([a, b]) => [rows[a % rows.length]!.path, rows[b % rows.length]!.path] as const);

function splitOrNull(...args: Parameters<typeof stratifiedSplit>): SplitRow[] | null {
  try {
    return stratifiedSplit(...args);
  } catch (error) {
    assert(error instanceof DataError);
    return null; // too few groups for every subset to hold both classes
  }
}

Deno.test("stratifiedSplit() places every usable image once and lets nothing cross", () => {
  let divided = 0;
  fc.assert(
    fc.property(
      manifests,
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 8 }),
      fc.nat(),
      (rows, links, seed) => {
        const pairs = pairsOf(rows, links);
        const broken = { ...manifestRow(9999, true, "S0"), status: "unreadable: …" };
        const split = splitOrNull([broken, ...rows], { fractions, seed }, pairs);
        if (split === null) return;
        divided++;
        assert.deepEqual(split.map(({ path }) => path), rows.map(({ path }) => path).sort());
        const subsetOf = new Map(split.map(({ path, subset }) => [path, subset]));
        for (const own of Map.groupBy(split, ({ group }) => group).values()) {
          assert.equal(new Set(own.map(({ subset }) => subset)).size, 1);
        }
        for (const [a, b] of pairs) assert.equal(subsetOf.get(a), subsetOf.get(b));
        for (const { classes } of subsetCounts(split)) {
          assert(Object.values(classes).every((n) => n > 0));
        }
      },
    ),
    { seed: 1, numRuns: 100 },
  );
  assert(divided > 80, `${divided} of 100 cases could be divided`);
});

Deno.test("stratifiedSplit() is the same, byte for byte, in any order of rows and pairs", () => {
  fc.assert(
    fc.property(manifests, fc.tuple(fc.nat(), fc.nat()), fc.nat(), (rows, link, seed) => {
      const pairs = pairsOf(rows, [link, [3, 7]]);
      const random = createRandom(seed);
      const a = splitOrNull(rows, { fractions, seed: 42 }, pairs);
      const b = splitOrNull(random.shuffle(rows), { fractions, seed: 42 }, random.shuffle(pairs));
      assert.equal(a && splitText(a), b && splitText(b));
    }),
    { seed: 1, numRuns: 50 },
  );
});

Deno.test("stratifiedSplit() of single images is exact to one image, and follows the seed", () => {
  const rows = Array.from({ length: 1000 }, (_, i) => manifestRow(i, i % 5 === 0));
  const split = stratifiedSplit(rows, { fractions, seed: 1 }, []);
  assert.deepEqual(
    subsetCounts(split).map(({ classes }) => [classes["non"], classes["sclerotic"]]),
    [[560, 140], [120, 30], [120, 30]],
  );
  const other = stratifiedSplit(rows, { fractions, seed: 2 }, []);
  const moved = split.filter(({ subset }, i) => subset !== other[i]!.subset).length;
  assert(moved > 300, `${moved} images moved with the seed`);
});

/** How far the worst subset is from its fraction of a class: as a share of it, and in images. */
function largestMisses(split: readonly SplitRow[]): { share: number; images: number } {
  const worst = { share: 0, images: 0 };
  for (const [label, { length }] of Map.groupBy(split, ({ label }) => label)) {
    for (const { subset, classes } of subsetCounts(split)) {
      const miss = Math.abs(classes[label]! - fractions[subset]! * length);
      worst.share = Math.max(worst.share, miss / length);
      worst.images = Math.max(worst.images, miss);
    }
  }
  return worst;
}

Deno.test("stratifiedSplit() gives every subset its share of each of several classes", () => {
  const random = createRandom(5);
  const rows = Array.from({ length: 900 }, (_, i) => ({
    ...manifestRow(i, true, `S${random.integer(60)}`),
    label: ["normal", "segmental", "global", "ischaemic"][Math.floor(4 * random.next() ** 3)]!,
  }));
  const split = stratifiedSplit(rows, { fractions, seed: 42 }, []);
  assert.equal(new Set(split.map(({ label }) => label)).size, 4);
  assert(largestMisses(split).share < 0.015);
});

Deno.test("stratifiedSplit() of very many unlike groups is exact to a few images, within seconds", () => {
  const random = createRandom(6);
  const rows = Array.from({ length: 30_000 }, (_, i) => {
    const slide = Math.floor(3000 * random.next() ** 2);
    return manifestRow(i, random.next() < 0.02 + slide / 8000, `S${slide}`);
  });
  assert(largestMisses(stratifiedSplit(rows, { fractions, seed: 42 }, [])).images <= 3);
});

/** Whether any division of the groups gives every subset every class, by trying all. */
function isDivisible(rows: readonly ManifestRow[]): boolean {
  const groups = [...Map.groupBy(rows, ({ group }) => group).values()]
    .map((own) => [own.some((r) => r.label === "non"), own.some((r) => r.label !== "non")]);
  for (let code = 0; code < 3 ** groups.length; code++) {
    const held = new Set<string>();
    groups.forEach((has, g) => {
      const subset = Math.floor(code / 3 ** g) % 3;
      has.forEach((is, label) => is && held.add(`${subset}/${label}`));
    });
    if (held.size === 6) return true;
  }
  return false;
}

Deno.test("stratifiedSplit() succeeds exactly where a division with every class exists", () => {
  const few = fc.array(fc.tuple(fc.nat(6), fc.boolean()), { minLength: 6, maxLength: 14 })
    .map((images) => images.map(([slide, positive], i) => manifestRow(i, positive, `S${slide}`)));
  const seen = { yes: 0, no: 0 };
  fc.assert(
    fc.property(few, (rows) => {
      const divisible = isDivisible(rows);
      seen[divisible ? "yes" : "no"]++;
      assert.equal(splitOrNull(rows, { fractions, seed: 42 }, []) !== null, divisible);
    }),
    { seed: 1, numRuns: 300 },
  );
  assert(seen.yes > 50 && seen.no > 50, JSON.stringify(seen));
});

/** The least sum of squared deviations, in shares of each class, of any division, by trying all. */
function leastCost(counts: readonly (readonly number[])[], shares: readonly number[]): number {
  const totals = [0, 1].map((c) => counts.reduce((sum, unit) => sum + unit[c]!, 0));
  let least = Infinity;
  for (let code = 0; code < 3 ** counts.length; code++) {
    const held = [[0, 0], [0, 0], [0, 0]];
    counts.forEach((unit, g) => {
      const own = held[Math.floor(code / 3 ** g) % 3]!;
      own[0]! += unit[0]!;
      own[1]! += unit[1]!;
    });
    if (held.flat().includes(0)) continue;
    const cost = held.flatMap((own, s) => own.map((n, c) => (n / totals[c]! - shares[s]!) ** 2));
    least = Math.min(least, cost.reduce((a, b) => a + b));
  }
  return least;
}

Deno.test("balanceFromManyStarts() finds the best of all divisions of a few groups", () => {
  const unit = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 20 }));
  const shares = SUBSETS.map((subset) => fractions[subset]!);
  fc.assert(
    fc.property(fc.array(unit, { minLength: 4, maxLength: 7 }), (counts) => {
      const { cost } = balanceFromManyStarts(counts, shares, createRandom(1), 32);
      assert(cost <= leastCost(counts, shares) + 1e-9);
    }),
    { seed: 1, numRuns: 60 },
  );
});

Deno.test("stratifiedSplit() says what is missing when it cannot divide", () => {
  const oneClass = [manifestRow(1, true), manifestRow(2, true)];
  assert.throws(() => stratifiedSplit(oneClass, { fractions, seed: 1 }, []), /All 2 usable images/);
  assert.throws(() => stratifiedSplit([], { fractions, seed: 1 }, []), /no usable images/);
  const twoSlides = Array.from({ length: 40 }, (_, i) => manifestRow(i, i % 3 === 0, `S${i % 2}`));
  for (const message of [/form 2 groups/, /train: \d+ non, \d+ sclerotic/, /more patients or sl/]) {
    const refused = { name: DataError.name, message };
    assert.throws(() => stratifiedSplit(twoSlides, { fractions, seed: 1 }, []), refused);
  }
});

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

/**
 * How far a division is from the request, as means over the subsets; 0 is perfect.
 *
 * @returns of the share of each class that is in the subset, of the share of all images, and of the
 * subset's share of sclerotic images: |it - what was requested|
 */
function imbalance(subsets: readonly number[], labels: readonly number[]): number[] {
  const perSubset = SUBSETS.map((subset, s) => {
    const own = labels.filter((_, i) => subsets[i] === s);
    const [positives, all, n, fraction] = [sum(own), sum(labels), own.length, fractions[subset]!];
    const shares = [positives / all, (n - positives) / (labels.length - all)];
    return [
      sum(shares.map((share) => Math.abs(share - fraction))) / 2,
      Math.abs(n / labels.length - fraction),
      Math.abs(positives / n - all / labels.length),
    ];
  });
  return [0, 1, 2].map((measure) => sum(perSubset.map((values) => values[measure]!)) / 3);
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
    const split = stratifiedSplit(rows, { fractions, seed }, []);
    const subsetOf = new Map(split.map(({ path, subset }) => [path, subset]));
    const subsets: readonly string[] = SUBSETS;
    return imbalance(rows.map(({ path }) => subsets.indexOf(subsetOf.get(path)!)), labelsOf(rows));
  });
  const theirs = cases.map((rows, i) => imbalance(divisions[i]!, labelsOf(rows)));
  for (const [m, name] of ["shares", "sizes", "ratios"].entries()) {
    const mean = (of: readonly number[][]) => sum(of.map((values) => values[m]!)) / CASES;
    const most = Math.max(...ours.map((own, i) => own[m]! - theirs[i]![m]!));
    const message = `${name}: ${mean(ours)}, not ${mean(theirs)}; worse by ${most} at most`;
    assert.ok(mean(ours) < mean(theirs) / 5 && most < 0.002, message);
  }
});
