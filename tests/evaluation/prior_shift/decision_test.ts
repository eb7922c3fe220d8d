import assert from "node:assert/strict";
import { join } from "node:path";
import { ModelError } from "../../../lib/core/errors.ts";
import { createRandom } from "../../../lib/core/random.ts";
import { percent } from "../../../lib/core/words.ts";
import {
  CELLS,
  explainScores,
  leastGain,
  scoreDensity,
  shareFrom,
} from "../../../lib/evaluation/folder_scores.ts";
import {
  correctProbabilities,
  estimatePrevalence,
  type PrevalenceChange,
} from "../../../lib/evaluation/prevalence.ts";
import {
  decidePriorShift,
  type PriorShift,
  type PriorShiftInput,
} from "../../../lib/evaluation/prior_shift.ts";
import type { Decision } from "../../../lib/run/decision.ts";
import { askPython } from "../../ask_python.ts";
import {
  decisionWith,
  f1At,
  REFERENCE,
  summaryOf,
  syntheticScores,
  validationOf,
} from "./synthetic_scores.ts";

const classes = ["non_globally_sclerotic_glomeruli", "globally_sclerotic_glomeruli"];

/** A validation set of the synthetic model. */
function validate(seed: number | string, n = 200) {
  const scores = syntheticScores(createRandom(`validation/${seed}`), { n, share: REFERENCE });
  return validationOf(scores.labels, scores.probabilities);
}

function judge(probabilities: readonly number[], change: Partial<PriorShiftInput> = {}) {
  const summary = summaryOf(probabilities);
  const decision = decisionWith(validate(1, 600));
  const usual = { setting: "auto", summary, decision, classes, unlike: 0, seed: 1 } as const;
  return decidePriorShift({ ...usual, ...change });
}

/** Probabilities after a correction. */
const correct = (probabilities: readonly number[], change: PrevalenceChange | null) =>
  probabilities.map((p) => change ? correctProbabilities([1 - p, p], change)[1]! : p);

/** Probabilities whose log odds are all lower. */
const lower = (probabilities: readonly number[], by: number) =>
  probabilities.map((p) => 1 / (1 + (1 - p) / p * Math.exp(by)));

const few = syntheticScores(createRandom("few positives"), { n: 400, share: 0.04 });

Deno.test("auto corrects a folder whose prevalence has clearly moved, and says so", () => {
  const { change, reason, estimate, threshold, text, anotherShift } = judge(few.probabilities);
  const { share, interval, blackBox, p, agree } = estimate!;
  // as far as is beyond doubt
  const high = Math.max(interval.high!, blackBox.interval.high!);
  assert.deepEqual([reason, change], ["moved", { reference: REFERENCE, share: high }]);
  assert.ok(Math.abs(share - 0.04) < 0.015, String(share));
  assert.ok(interval.low! <= 0.04 && interval.high! >= 0.04);
  assert.ok(interval.high! - interval.low! < 0.08);
  assert.ok(p < 1e-9 && agree && threshold === 0.5 && !anotherShift);
  for (const part of ["400", "globally sclerotic", percent(share), percent(high), "0.89"]) {
    assert.ok(text.includes(part), `${part}: ${text}`);
  }
});

Deno.test("auto corrects only where nothing speaks against it", () => {
  const still = syntheticScores(createRandom("still"), { n: 400, share: REFERENCE });
  const useless = { truePositives: 40, falseNegatives: 40, trueNegatives: 60, falsePositives: 60 };
  // rates from 50 images: the cross-check cannot tell 25 % from 40 %
  const fewer = syntheticScores(createRandom("fewer"), { n: 400, share: 0.25 });
  const rough = { truePositives: 13, falseNegatives: 7, trueNegatives: 26, falsePositives: 4 };
  // every log odds 3 lower, as on pale slides: EM sees few positive images, and would miss half
  const pale = syntheticScores(createRandom("pale"), { n: 2000, share: REFERENCE });
  const { scores } = validate(1);
  const validated = (validation: Decision["validation"]) => ({
    decision: decisionWith(validation),
  });
  const cases: [string, PriorShift][] = [
    ["not_moved", judge(still.probabilities)],
    ["too_few_images", judge(few.probabilities.slice(0, 99))],
    ["unlike_training", judge(few.probabilities, { unlike: 41 })],
    ["no_validation", judge(few.probabilities, validated(null))],
    ["too_few_validation_images", judge(few.probabilities, validated(validate(2, 40)))],
    ["no_cross_check", judge(few.probabilities, validated({ ...useless, scores }))],
    ["no_scores", judge(few.probabilities, validated({ ...validate(1), scores: null }))],
    ["not_confirmed", judge(fewer.probabilities, validated({ ...rough, scores }))],
    ["contradicted", judge(lower(pale.probabilities, 3), validated(validate(1, 2000)))],
    ["off", judge(few.probabilities, { setting: "off" })],
  ];
  for (const [expected, { change, reason, threshold, anotherShift }] of cases) {
    assert.deepEqual([reason, change, threshold], [expected, null, 0.5]);
    if (/unlike_training|contradicted/.test(expected)) assert.ok(anotherShift, expected);
  }
  const texts = cases.map(([, { text }]) => text.split("Probabilities were not")[1]);
  assert.equal(new Set(texts).size, cases.length, "each has a reason of its own");
  assert.equal(judge(few.probabilities, { unlike: 40 }).reason, "moved");
});

Deno.test("a given prevalence is used as it is, and a threshold of sensitivity keeps its predictions", () => {
  const given = judge(few.probabilities.slice(0, 5), { setting: 0.07 });
  assert.deepEqual(given.change, { reference: REFERENCE, share: 0.07 });
  assert.equal(given.reason, "given");
  const unknown = { setting: 0.07, decision: decisionWith(null) };
  assert.throws(() => judge(few.probabilities, unknown), ModelError);
  const decision = decisionWith(validate(1, 600), { rule: "sensitivity", threshold: 0.3 });
  const { threshold, change } = judge(few.probabilities, { decision });
  assert.ok(threshold < 0.05);
  const called = correct(few.probabilities, change).map((p) => p >= threshold);
  assert.deepEqual(called, few.probabilities.map((p) => p >= 0.3));
});

Deno.test("auto leaves every image a chance in a folder without any positive one", () => {
  const none = syntheticScores(createRandom("none"), { n: 300, share: 0 });
  const { reason, change } = judge(none.probabilities);
  assert.equal(reason, "moved");
  assert.ok(change!.share >= 0.5 / 300 && change!.share < 0.06, String(change!.share));
});

Deno.test("estimatePrevalence() draws groups where there are five, and its interval is wider then", () => {
  const { labels, probabilities } = syntheticScores(createRandom("groups"), { n: 600, share: 0.2 });
  // slides hold nearly only one class: ten slides are less evidence than 600 images
  const order = probabilities.map((_, i) => i).sort((a, b) => labels[a]! - labels[b]!);
  const ordered = order.map((i) => probabilities[i]!);
  const estimate = (count: number, seed = 1) => {
    const slides = order.map((_, at) => `slide ${Math.floor(at * count / 600)}`);
    return estimatePrevalence(summaryOf(ordered, slides), validate(1), { seed, resamples: 400 });
  };
  const [ten, four] = [estimate(10), estimate(4)];
  const width = ({ low, high }: { low: number | null; high: number | null }) => high! - low!;
  assert.deepEqual([ten.resampled, four.resampled], ["groups", "images"]);
  assert.ok(width(ten.interval) > 3 * width(four.interval));
  assert.equal(ten.share, four.share);
  assert.deepEqual(estimate(10), ten);
  assert.notDeepEqual(estimate(10, 2).interval, ten.interval);
});

Deno.test("intervals of both estimates hold the true share about 95 times in 100", () => {
  let [byEm, byAnswers, agreed] = [0, 0, 0];
  const rounds = 100;
  for (let round = 0; round < rounds; round++) {
    const random = createRandom(`coverage/${round}`);
    // the number of positive images is as much by chance as which they are
    const drawn = Array.from({ length: 200 }, () => random.next() < 0.15).filter(Boolean).length;
    const { probabilities } = syntheticScores(random, { n: 200, share: drawn / 200 });
    const options = { seed: round, resamples: 200 };
    const estimate = estimatePrevalence(summaryOf(probabilities), validate(round), options);
    const { interval, blackBox, agree } = estimate;
    if (interval.low! <= 0.15 && 0.15 <= interval.high!) byEm++;
    if (blackBox.interval.low! <= 0.15 && 0.15 <= blackBox.interval.high!) byAnswers++;
    if (agree) agreed++;
  }
  const counts = [byEm, byAnswers, agreed]; // 89 % is 2.8 standard errors below 95 %
  assert.ok(counts.every((count) => count >= 0.89 * rounds), counts.join());
});

Deno.test("F1 with auto is never worse than without but for noise, much better at strong shifts", () => {
  const rounds = 6;
  for (const share of [0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9]) {
    let [without, withAuto] = [0, 0];
    for (let round = 0; round < rounds; round++) {
      const random = createRandom(`f1/${share}/${round}`);
      const { labels, probabilities } = syntheticScores(random, { n: 600, share });
      const decision = decisionWith(validate(round));
      const { change, threshold } = judge(probabilities, { decision, seed: round });
      without += f1At(labels, probabilities) / rounds;
      withAuto += f1At(labels, correct(probabilities, change), threshold) / rounds;
    }
    const gain = withAuto - without;
    const least = share <= 0.03 ? 0.12 : share === 0.9 ? 0.015 : -0.01;
    assert.ok(gain >= least, `${share}: ${without.toFixed(3)} to ${withAuto.toFixed(3)}`);
  }
});

Deno.test("auto does not correct where scores have moved too, and a correction would harm", () => {
  // all log odds 1.5 lower, and the true share 10 %: as of another centre's slides
  let [without, corrected, said] = [0, 0, 0];
  const rounds = 8;
  for (let round = 0; round < rounds; round++) {
    const random = createRandom(`moved/${round}`);
    const { labels, probabilities } = syntheticScores(random, { n: 400, share: 0.1 });
    const pale = lower(probabilities, 1.5);
    const decision = decisionWith(validate(round, 600));
    const { estimate, change, text, moved } = judge(pale, { decision, seed: round });
    assert.equal(change, null, text);
    assert.ok(moved!.low < -0.5 && moved!.low > -4, JSON.stringify(moved));
    if (moved!.high < 0) said += 1;
    const told = text.includes(`${(-moved!.high).toFixed(2)} to ${(-moved!.low).toFixed(2)}`);
    assert.equal(told, moved!.high < 0, text);
    const { reference, interval } = estimate!;
    const asked = { reference, share: interval.high! };
    without += f1At(labels, pale) / rounds;
    corrected += f1At(labels, correct(pale, asked)) / rounds;
  }
  assert.ok(said >= 6, `${said}`);
  assert.ok(corrected < without - 0.03, `${without.toFixed(3)} to ${corrected.toFixed(3)}`);
});

Deno.test("shareFrom() agrees with scipy's kernel density estimate", async () => {
  const random = createRandom("density");
  const cases = [20, 57, 256].map((n) => ({
    scores: Array.from({ length: n }, () => (random.next() < 0.3 ? 2 : -1) + 1.5 * random.normal()),
    thresholds: [-6, -2.37, -0.5, 0.03, 1.99, 4.2],
  }));
  const answer = await askPython(join(import.meta.dirname!, "density_oracle.py"), cases);
  for (const [i, { scores, thresholds }] of cases.entries()) {
    const density = scoreDensity(scores);
    const own = thresholds.map((threshold) => shareFrom(threshold, density));
    // a cell's width is at most half a bandwidth: what is left is the error of its middle point
    own.forEach((share, j) =>
      assert.ok(Math.abs(share - (answer as number[][])[i]![j]!) < 2e-3, `${own} ${answer}`)
    );
  }
});

Deno.test("scoreDensity() sums to 1 and leaves nothing impossible, at the ends and of one score too", () => {
  for (const scores of [[0], [32, 32], [-32], [-32, 32], [1, 1, 1, 1]]) {
    const density = scoreDensity(scores);
    assert.ok(density.mass.every((mass) => mass >= 0.01 / CELLS));
    assert.ok(Math.abs(density.above[0]! - 1) < 1e-9);
    assert.equal(shareFrom(40, density), 0);
    assert.equal(shareFrom(-40, density), 1);
  }
});

Deno.test("explainScores() finds by how much all scores have moved, leastGain() what that means", () => {
  const drawn = (n: number, share: number) =>
    syntheticScores(createRandom(`gain/${n}/${share}`), { n, share });
  const known = drawn(800, 0.4);
  const { scores } = validationOf(known.labels, known.probabilities);
  const folder = drawn(800, 0.2);
  for (const move of [-2, 0, 1.5]) {
    const scored = folder.probabilities.map((p) => 1 / (1 + (1 - p) / p * Math.exp(-move)));
    const { possible, moved } = explainScores(summaryOf(scored), scores!, 1);
    assert.ok(moved.low <= move && move <= moved.high, JSON.stringify(moved));
    assert.ok(moved.high - moved.low < 2);
    const shares = possible.map(({ share }) => share);
    assert.ok(Math.min(...shares) < 0.2 && Math.max(...shares) > 0.2 && Math.max(...shares) < 0.3);
    assert.equal(leastGain(possible, { before: 0, after: 0 }), 0);
    assert.ok(leastGain(possible, { before: move - 4, after: move }) > 0.1);
    assert.ok(leastGain(possible, { before: move, after: move - 4 }) < -0.1);
    assert.deepEqual(explainScores(summaryOf(scored), scores!, 1), { possible, moved });
  }
});
