import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom, type Random } from "../../../lib/core/random.ts";
import { chiSquareTail } from "../../../lib/core/stats.ts";
import {
  addScore,
  binOf,
  binProbability,
  BINS,
  createScoreSummary,
  occupiedBins,
} from "../../../lib/evaluation/folder_scores.ts";
import {
  correctedThreshold,
  correctProbabilities,
  drawRate,
  emPrevalences,
  likeliestPrevalence,
  uncorrectedThreshold,
} from "../../../lib/evaluation/prevalence.ts";
import { groupShares } from "../../../lib/evaluation/shares.ts";
import { correctedShare, effectiveSize, roganGladen } from "../../../lib/metrics/intervals.ts";
import { askPython } from "../../ask_python.ts";
import { REFERENCE, summaryOf, syntheticScores } from "./synthetic_scores.ts";

const probability = fc.double({ min: 0, max: 1, noNaN: true });

const share = fc.double({ min: 0.001, max: 0.999, noNaN: true });

Deno.test("emPrevalences() solves cases that can be worked out by hand, and refuses none and shares of 0 or 1", () => {
  // images are of two kinds: 80 % of the positive ones and 20 % of the negative ones are of the
  // first. Where 30 of 100 are, share · 0.8 + (1 - share) · 0.2 = 0.3, so the share is 1/6
  const kinds = [[0.2, 0.8], [0.8, 0.2]];
  const { prevalences: shares } = emPrevalences(kinds, [0.5, 0.5], [30, 70]);
  assert.ok(Math.abs(shares[1]! - 1 / 6) < 1e-8, String(shares));
  // where 20 of 100 are, no image is positive; where 50 are, nothing has moved
  assert.ok(emPrevalences(kinds, [0.5, 0.5], [20, 80]).prevalences[1]! < 0.005);
  const still = emPrevalences(kinds, [0.5, 0.5], [50, 50]);
  assert.deepEqual([still.prevalences, still.statistic, still.p], [[0.5, 0.5], 0, 1]);
  // of a model that is always sure, the prevalence is that of its predictions: p = (0.25/0.5)^1 (…)^3
  const sure = emPrevalences([[0, 1], [1, 0]], [0.5, 0.5], [1, 3]);
  assert.ok(Math.abs(sure.prevalences[1]! - 0.25) < 1e-8);
  assert.ok(Math.abs(sure.statistic - 2 * (Math.log(0.5) + 3 * Math.log(1.5))) < 1e-8);
  assert.throws(() => emPrevalences([], [0.5, 0.5]), RangeError);
  assert.throws(() => emPrevalences([[0.5, 0.5]], [0.5, 0.5], [0]), RangeError);
  assert.throws(() => emPrevalences([[0.5, 0.5]], [1, 0]), RangeError);
});

Deno.test("emPrevalences() and what the intervals rest on agree with numpy and scipy", async () => {
  const random = createRandom("oracle");
  const two = syntheticScores(random, { n: 80, share: 0.15, d: 2 }).probabilities;
  const three = Array.from({ length: 120 }, () => {
    const of = random.next() < 0.6 ? 0 : random.next() < 0.3 ? 1 : 2;
    const powers = [0, 1, 2].map((k) => Math.exp((k === of ? 2 : 0) + random.normal()));
    const sum = powers.reduce((total, power) => total + power);
    return powers.map((power) => power / sum);
  });
  const cases = [
    { rows: two.map((p) => [1 - p, p]), reference: [1 - REFERENCE, REFERENCE] },
    { rows: three, reference: [0.2, 0.5, 0.3] },
  ];
  const tails = [[0.01, 1], [1, 1], [3.84, 1], [30, 1], [200, 1], [2, 2], [11, 3], [40, 8]];
  const counts = [[0, 7], [3, 15], [40, 41], [118, 462]];
  const rates = [[0, 12], [57, 3], [300, 40]];
  const freedom = [1, 3, 7, 19, 29, 31, 55, 399];
  const request = { shares: cases, tails, counts, rates, freedom };
  const answer = await askPython(join(import.meta.dirname!, "oracle.py"), request) as {
    shares: { em: number[]; maximum: number[]; statistic: number; p: number }[];
    tails: number[];
    wilson: [number, number][];
    rates: number[][];
    t: number[];
  };
  cases.forEach(({ rows, reference }, i) => {
    const [ours, theirs] = [emPrevalences(rows, reference), answer.shares[i]!];
    ours.prevalences.forEach((share, k) => {
      assert.ok(Math.abs(share - theirs.em[k]!) < 1e-7, `${share} ${theirs.em[k]}`);
      assert.ok(Math.abs(share - theirs.maximum[k]!) < 1e-4);
    });
    assert.ok(Math.abs(ours.statistic - theirs.statistic) < 1e-7);
    assert.ok(Math.abs(ours.p / theirs.p - 1) < 1e-6);
  });
  tails.forEach(([x, f], i) =>
    assert.ok(Math.abs(chiSquareTail(x!, f!) / answer.tails[i]! - 1) < 1e-12, `${x} ${f}`)
  );
  counts.forEach(([positive, n], i) => {
    const count = { group: "a", n: n!, positive: positive!, uncorrected: positive! };
    const { low, high } = groupShares([count], null).rows[0]!.interval;
    assert.ok(Math.abs(low! - answer.wilson[i]![0]) < 1e-12);
    assert.ok(Math.abs(high! - answer.wilson[i]![1]) < 1e-12);
  });
  rates.forEach(([k, m], i) => {
    const drawn = Float64Array.from({ length: 20_000 }, () => drawRate(random, k!, m!)).sort();
    [0.05, 0.5, 0.95].forEach((share, at) => {
      // a quantile is known to 3 standard errors of its rank
      const slack = 3 * Math.sqrt(share * (1 - share) / drawn.length);
      const place = (level: number) => drawn[Math.floor(level * drawn.length)]!;
      const theirs = answer.rates[i]![at]!;
      assert.ok(place(share - slack) <= theirs && theirs <= place(share + slack), `${k} ${m}`);
    });
  });
  freedom.forEach((f, i) => {
    // half of the groups are all positive, half not at all: each is worth one image at most
    const groups = Array.from({ length: f + 1 }, (_, g) => ({ n: 50, positive: 50 * (g % 2) }));
    const expected = f * (1.959964 / answer.t[i]!) ** 2;
    assert.ok(Math.abs(effectiveSize(groups) / expected - 1) < 2e-3, `${f}`);
  });
});

Deno.test("likeliestPrevalence() ends where EM ends", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(share, fc.nat(50)), { minLength: 2, maxLength: 30 }),
      fc.double({ min: 0.05, max: 0.95, noNaN: true }),
      probability,
      (bins, reference, start) => {
        fc.pre(bins.some(([, count]) => count > 0));
        const probabilities = Float64Array.from(bins, ([p]) => p);
        const weights = Float64Array.from(bins, ([, count]) => count);
        const share = likeliestPrevalence(probabilities, weights, reference, start);
        const likelihood = (p: number, share: number) =>
          share * p / reference + (1 - share) * (1 - p) / (1 - reference);
        const logLikelihood = (share: number) =>
          bins.reduce((sum, [p, count]) => sum + count * Math.log(likelihood(p, share)), 0);
        const rows = bins.map(([p]) => [1 - p, p]);
        const em = emPrevalences(rows, [1 - reference, reference], weights).prevalences[1]!;
        assert.ok(share >= 0 && share <= 1);
        // EM creeps up to its end: it may be a little lower, never higher
        const [ours, theirs] = [logLikelihood(share), logLikelihood(em)];
        assert.ok(ours >= theirs - 1e-7 && ours <= theirs + 0.01, `${share} ${em}`);
      },
    ),
    { seed: 1, numRuns: 60 },
  );
});

Deno.test("emPrevalences() of a calibrated model finds the reference share where nothing has moved", () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const { probabilities } = syntheticScores(createRandom(seed), { n: 2000, share: REFERENCE });
      const rows = probabilities.map((p) => [1 - p, p]);
      const { prevalences: shares, statistic, p } = emPrevalences(rows, [1 - REFERENCE, REFERENCE]);
      assert.ok(Math.abs(shares[0]! + shares[1]! - 1) < 1e-9);
      assert.ok(Math.abs(shares[1]! - REFERENCE) < 0.025, String(shares)); // 4 standard errors
      assert.ok(statistic >= 0 && p > 1e-4 && p <= 1);
    }),
    { seed: 1, numRuns: 25 },
  );
});

Deno.test("correctProbabilities() moves the odds by their ratio, sums to 1, keeps order, can be taken back", () => {
  // odds of 0.4 : 0.6 become 0.04 : 0.96, a sixteenth: even odds become 1 : 16
  const [negative, positive] = correctProbabilities([0.5, 0.5], { reference: 0.4, share: 0.04 });
  assert.ok(Math.abs(positive! - 1 / 17) < 1e-12 && Math.abs(negative! - 16 / 17) < 1e-12);
  // the two other classes keep their proportion of 3 : 1
  const three = correctProbabilities([0.3, 0.1, 0.6], { reference: 0.5, share: 0.2 });
  assert.ok(Math.abs(three[0]! / three[1]! - 3) < 1e-12);
  assert.ok(Math.abs(three[2]! / (three[0]! + three[1]!) - 0.6 / 0.4 / 4) < 1e-12);
  fc.assert(
    fc.property(probability, probability, share, share, (a, b, reference, share) => {
      const change = { reference, share };
      const [first, second] = [a, b].map((p) => correctProbabilities([1 - p, p], change));
      for (const pair of [first!, second!]) {
        assert.ok(Math.abs(pair[0]! + pair[1]! - 1) < 1e-12);
        assert.ok(pair.every((p) => p >= 0 && p <= 1));
      }
      if (a < b) assert.ok(first![1]! <= second![1]!);
      const back = correctProbabilities(first!, { reference: share, share: reference });
      assert.ok(Math.abs(back[1]! - a) < 1e-9);
      const same = correctProbabilities([1 - a, a], { reference, share: reference });
      assert.ok(Math.abs(same[1]! - a) < 1e-12);
    }),
    { seed: 1, numRuns: 500 },
  );
});

Deno.test("a threshold of costs stays and predictions change; one of sensitivity moves and they stay", () => {
  fc.assert(
    fc.property(probability, share, share, share, (p, threshold, reference, share) => {
      const change = { reference, share };
      const corrected = correctProbabilities([1 - p, p], change)[1]!;
      const before = uncorrectedThreshold(threshold, change);
      fc.pre(Math.abs(p - before) > 1e-6 && Math.abs(p - threshold) > 1e-6);
      for (const rule of ["default", "costs"] as const) {
        assert.equal(correctedThreshold({ threshold, rule }, change), threshold);
        assert.equal(corrected >= threshold, p >= before);
      }
      for (const rule of ["youden", "sensitivity"] as const) {
        const moved = correctedThreshold({ threshold, rule }, change);
        assert.equal(corrected >= moved, p >= threshold);
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});

Deno.test("binOf() and binProbability() keep log odds to 1/128 and any correction to 0.002", () => {
  const logOdds = (p: number) => Math.log(p / (1 - p));
  const odds = fc.double({ min: -31.9, max: 31.9, noNaN: true });
  fc.assert(
    fc.property(odds, share, share, (x, reference, share) => {
      const p = x > 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
      const centre = binProbability(binOf(p));
      // near 1 a probability itself is no finer than 1.1e-16
      if (x < 20) assert.ok(Math.abs(logOdds(centre) - x) < 1 / 128 + 1e-6, `${x}`);
      const change = { reference, share };
      const [own, ofBin] = [p, centre].map((p) => correctProbabilities([1 - p, p], change)[1]!);
      assert.ok(Math.abs(own! - ofBin!) < 0.002);
    }),
    { seed: 1, numRuns: 500 },
  );
  assert.deepEqual([binOf(0), binOf(1e-300), binOf(0.5), binOf(1)], [0, 0, BINS / 2, BINS - 1]);
  assert.ok(binProbability(0) > 0 && binProbability(BINS - 1) < 1);
});

Deno.test("a share from bins is that from every probability by itself", () => {
  const random = createRandom("bins");
  for (const share of [0.01, 0.1, 0.5, 0.9]) {
    for (const d of [1, 2, 4]) {
      const { probabilities } = syntheticScores(random, { n: 3000, share, d });
      const units = [...summaryOf(probabilities).byImage.values()];
      const { probabilities: centres, counts } = occupiedBins(units);
      const binned = emPrevalences(Array.from(centres, (p) => [1 - p, p]), [0.6, 0.4], counts);
      const exact = emPrevalences(probabilities.map((p) => [1 - p, p]), [0.6, 0.4]);
      assert.ok(Math.abs(binned.prevalences[1]! - exact.prevalences[1]!) < 5e-4, `${share} ${d}`);
    }
  }
});

Deno.test("a summary takes the same memory for any number of images, and keeps those of a group together", () => {
  const summary = createScoreSummary(0.7);
  const random = createRandom("many");
  for (let i = 0; i < 20_000; i++) addScore(summary, random.next(), i % 3 ? `slide ${i}` : "");
  assert.equal(summary.n, 20_000);
  assert.equal(summary.groups.size, 256);
  for (const units of [[...summary.byImage.values()], [...summary.byGroup.values()]]) {
    assert.equal(units.length, 256);
    assert.equal(units.reduce((sum, unit) => sum + unit.n, 0), 20_000);
    assert.equal(units.reduce((sum, { bins }) => sum + bins.reduce((a, b) => a + b), 0), 20_000);
    const called = units.reduce((sum, unit) => sum + unit.called, 0);
    assert.ok(Math.abs(called / 20_000 - 0.3) < 0.013, String(called)); // 4 standard errors
  }
  assert.throws(() => addScore(summary, NaN, ""), RangeError);
  assert.throws(() => addScore(summary, 1.1, ""), RangeError);
  const places = Array.from({ length: 90 }, (_, i) => i % 3);
  const three = summaryOf(places.map((i) => 0.1 + 0.2 * i), places.map((i) => `slide ${i}`));
  const units = [...three.byGroup.values()];
  assert.deepEqual(units.map(({ n, called }) => [n, called]), [[30, 0], [30, 0], [30, 30]]);
  assert.equal(three.byImage.size, 90);
});

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
    const times = ([name, value]: [string, number]) => [name, factor * value];
    const many = Object.fromEntries(Object.entries(known).map(times)) as typeof known;
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
  Array.from({ length: n }, () => random.next() < p).filter(Boolean).length;

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

Deno.test("groupShares() has a row a group, the greatest share first, and corrects what its rates are of", () => {
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
  const moved = groupShares([count("a", 10, 100, 22)], known);
  assert.equal(moved.rows[0]!.share, 0.1);
  assert.equal(moved.rows[0]!.corrected.share, roganGladen(0.22, 57 / 60, 85 / 90));
  assert.notEqual(moved.text, groupShares([count("a", 10, 100)], known).text, "it says so");
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
