import assert from "node:assert/strict";
import fc from "fast-check";
import { createRandom, type Random } from "../../lib/core/random.ts";
import { groupShares } from "../../lib/evaluation/shares.ts";
import { correctedShare, effectiveSize, roganGladen } from "../../lib/metrics/intervals.ts";

const known = { truePositives: 57, falseNegatives: 3, trueNegatives: 85, falsePositives: 5 };

const count = (group: string, positive: number, n: number, uncorrected = positive) => {
  return { group, n, positive, uncorrected };
};

Deno.test("roganGladen() undoes the errors of a model whose rates are known", () => {
  // of 20 in 100 true ones, 90 % are found: 18; of the other 80, 5 % are mistaken: 4
  assert.ok(Math.abs(roganGladen(0.22, 0.9, 0.95)! - 0.2) < 1e-12);
  assert.equal(roganGladen(0.25, 1, 1), 0.25);
  assert.ok(roganGladen(0.01, 0.9, 0.9)! < 0); // fewer than mistakes alone would be
  assert.equal(roganGladen(0.3, 0.5, 0.5), null);
  assert.equal(roganGladen(0.3, 0.2, 0.3), null);
});

Deno.test("correctedShare() stays within 0 to 1, around its estimate, and narrows with more", () => {
  const [truePositives, falseNegatives] = [fc.nat(60), fc.nat(60)];
  const [trueNegatives, falsePositives] = [fc.nat(60), fc.nat(60)];
  const fewImages = fc.record({ truePositives, falseNegatives, trueNegatives, falsePositives });
  fc.assert(
    fc.property(fewImages, fc.nat(80), fc.integer({ min: 1, max: 80 }), (known, called, n) => {
      fc.pre(called <= n);
      const { share, low, high, reason } = correctedShare(called, n, known);
      if (share === null) {
        assert.match(reason!, /^sens|^spec/);
        assert.deepEqual([low, high], [null, null]);
      } else assert.ok(0 <= low! && low! <= share && share <= high! && high! <= 1);
    }),
    { seed: 1, numRuns: 500 },
  );
  const width = (factor: number) => {
    const many = Object.fromEntries(
      Object.entries(known).map(([name, value]) => [name, factor * value]),
    ) as typeof known;
    const { low, high } = correctedShare(30 * factor, 100 * factor, many);
    return high! - low!;
  };
  assert.ok(width(100) < width(1) / 9 && width(100) > width(1) / 11);
});

Deno.test("correctedShare() says why there is none", () => {
  const reason = (change: Partial<typeof known>) =>
    correctedShare(1, 9, { ...known, ...change }).reason!;
  assert.match(reason({ truePositives: 0, falseNegatives: 0 }), /sensitivity is not known/);
  assert.match(reason({ trueNegatives: 0, falsePositives: 0 }), /specificity is not known/);
  assert.match(reason({ truePositives: 3, falsePositives: 90 }), /sum to 1 or less/);
});

const binomial = (random: Random, n: number, p: number) =>
  Array.from({ length: n }, () => random.next() < p ? 1 : 0).reduce<number>((a, b) => a + b, 0);

Deno.test("correctedShare() holds the true share about 95 times in 100, as its source says", () => {
  const random = createRandom("coverage");
  for (const [share, sensitivity, specificity] of [[0.3, 0.85, 0.9], [0.05, 0.95, 0.97]] as const) {
    let held = 0;
    const rounds = 1000;
    for (let round = 0; round < rounds; round++) {
      const truePositives = binomial(random, 60, sensitivity);
      const trueNegatives = binomial(random, 90, specificity);
      const called = binomial(random, 200, share * sensitivity + (1 - share) * (1 - specificity));
      const { low, high } = correctedShare(called, 200, {
        truePositives,
        falseNegatives: 60 - truePositives,
        trueNegatives,
        falsePositives: 90 - trueNegatives,
      });
      if (low! <= share && share <= high!) held++;
    }
    assert.ok(held / rounds > 0.93 && held / rounds < 0.99, `${share}: ${held}`);
  }
});

Deno.test("effectiveSize() counts alike images once, and unlike ones as they are", () => {
  // four slides of ten, all or none: four witnesses, and with 3 degrees of freedom t is 3.182
  const alike = [0, 10, 0, 10].map((positive) => ({ n: 10, positive }));
  assert.ok(Math.abs(effectiveSize(alike) - 3 * (1.96 / 3.1824) ** 2) < 1e-9);
  const even = [5, 5, 5, 5].map((positive) => ({ n: 10, positive }));
  assert.equal(effectiveSize(even), 40);
  assert.equal(effectiveSize([{ n: 7, positive: 3 }]), 7);
  assert.equal(effectiveSize([{ n: 7, positive: 0 }, { n: 5, positive: 0 }]), 12);
  const singles = Array.from({ length: 1000 }, (_, i) => ({ n: 1, positive: i % 3 === 0 ? 1 : 0 }));
  assert.ok(Math.abs(effectiveSize(singles) / 1000 - 1) < 0.01);
});

Deno.test("groupShares() has a row a group, the greatest share first, and the sum of all", () => {
  const counts = [count("b", 2, 10), count("a", 2, 10), count("empty", 0, 0)];
  counts.push(count("c", 9, 10), count("d", 4, 20));
  const { rows, all, text } = groupShares(counts, known);
  assert.deepEqual(rows.map(({ group }) => group), ["c", "d", "a", "b"]);
  assert.deepEqual([all.n, all.positive, all.share], [50, 17, 0.34]);
  assert.ok(rows.every(({ share, interval: { low, high } }) => low! < share! && share! < high!));
  const alone = groupShares([count("", 17, 50)], known).all.interval;
  assert.ok(all.interval.high! - all.interval.low! > alone.high! - alone.low!);
  assert.match(
    text,
    /alike \(4 groups\)\. Corrected .* \(57 of 60 found\) .* \(85 of 90 left alone/,
  );
  assert.match(text, /another scanner, stain or kind may not keep that assumption/);
});

Deno.test("groupShares() corrects the predictions that its rates are of", () => {
  const { rows, text } = groupShares([count("a", 10, 100, 22)], known);
  assert.equal(rows[0]!.share, 0.1);
  assert.equal(rows[0]!.corrected.share, roganGladen(0.22, 57 / 60, 85 / 90));
  assert.notEqual(text, groupShares([count("a", 10, 100)], known).text, "it says so");
});

Deno.test("groupShares() has no number where there is none, and says why", () => {
  const none = groupShares([], known);
  assert.deepEqual([none.rows, none.all.share, none.all.interval.low], [[], null, null]);
  assert.match(none.all.interval.reason!, /no images/);
  const unknown = groupShares([count("a", 1, 2)], null);
  assert.deepEqual([unknown.all.share, unknown.all.corrected.share], [0.5, null]);
  assert.match(unknown.text, /No corrected share: .*not known: run notebook 06/);
  assert.throws(() => groupShares([count("a", 3, 2)], null), RangeError);
});
