import assert from "node:assert/strict";
import { createRandom } from "../../lib/core/random.ts";
import { type BandSample, chanceOfWorse, chooseAcceptBand } from "../../lib/metrics/accept_band.ts";

const alone = (images: readonly unknown[]) => images.map((_, i) => `patient ${i}`);

const bandOf = (sample: BandSample, errorRate: number) =>
  chooseAcceptBand(sample, errorRate).acceptBand;

Deno.test("chooseAcceptBand() leaves the unsure middle to a person, half-way to the threshold", () => {
  const probabilities = [...Array(100).fill(0.02), 0.3, 0.4, 0.6, ...Array(40).fill(0.9)];
  const right = probabilities.map((p) => p !== 0.3 && p !== 0.6);
  const sample = { probabilities, right, groups: alone(right), threshold: 0.5 };
  const strict = chooseAcceptBand(sample, 0.03); // 140 without an error: at most 2.1 %; 141 with one: 3.3 %
  const low = 0.02 + (0.3 - 0.02) / 2;
  assert.deepEqual(strict.acceptBand, { low, high: 0.75, errorRate: 0.03 });
  assert.match(
    strict.reason,
    /140 of 143 validation images, 0 of them wrong.* 140 images, at most 3 %/,
  );
  // both errors are allowed; the images between 0.45 and 0.55 are like none that was seen
  const loose = bandOf(sample, 0.1)!;
  assert.ok(Math.abs(loose.low - 0.45) < 1e-12 && Math.abs(loose.high - 0.55) < 1e-12);
});

Deno.test("chooseAcceptBand() counts patients, and says how many it takes", () => {
  const sampleOf = (patients: number, images: number) => {
    const right = Array(patients * images).fill(true);
    const probabilities = right.map((_, i) => i % 2 ? 0.1 : 0.9);
    const groups = right.map((_, i) => `patient ${Math.floor(i / images)}`);
    return { probabilities, right, groups, threshold: 0.5 };
  };
  const few = chooseAcceptBand(sampleOf(2, 400), 0.05);
  assert.equal(few.acceptBand, null);
  assert.match(few.reason, /2 patients or slides are too few.* 77\.6 % .* 5 % .* takes 59 without/);
  // 0.95^58 = 0.051, 0.95^59 = 0.048
  for (const images of [2, 10]) {
    assert.equal(bandOf(sampleOf(58, images), 0.05), null);
    assert.ok(bandOf(sampleOf(59, images), 0.05));
  }
  // one patient all wrong: the exact bound of 1 in 92 is 5.05 %, of 1 in 93 4.99 %
  for (const patients of [92, 93]) {
    const { right, ...rest } = sampleOf(patients, 10);
    const { acceptBand, reason } = chooseAcceptBand(
      { ...rest, right: right.map((_, i) => i > 9) },
      0.05,
    );
    assert.equal(acceptBand === null, patients === 92);
    if (!acceptBand) {
      assert.match(reason, /at most 5\.05 % .* 5 %; 94 patients or slides with as few/);
    }
  }
  const { right, ...rest } = sampleOf(80, 10);
  const bad = chooseAcceptBand({ ...rest, right: right.map((_, i) => i % 10 > 0) }, 0.05);
  assert.match(bad.reason, /80 are wrong.*, not 5 %; more patients or slides with as many/);
});

Deno.test("chooseAcceptBand() does not hide errors of a rare class behind a frequent one", () => {
  const below = { low: 0.1 + (0.5 - 0.1) / 2, high: 1, errorRate: 0.05 };
  const band = (rare: number, wrong: number, p: number) => {
    const probabilities = [...Array(300).fill(0.1), ...Array(rare).fill(p)];
    const right = probabilities.map((_, i) => i < 300 || i >= 300 + wrong);
    return bandOf({ probabilities, right, groups: alone(right), threshold: 0.5 }, 0.05);
  };
  assert.deepEqual(band(4, 1, 0.8), below);
  assert.deepEqual(band(40, 4, 0.95), below, "3 of 40 are more than 5 %, though the surest images");
  assert.deepEqual(band(19, 0, 0.95), below, "fewer than 20 cannot show 5 %");
  assert.equal(band(40, 2, 0.95)!.high, 0.5 + (0.95 - 0.5) / 2);
  assert.equal(band(40, 4, 1), null, "images of probability 1 are in every band");
});

const RATE = 0.15;

/**
 * Images that are wrong at `rate` on average, however sure. One patient in 1 / rate is worse than the
 * others, so that errors within a patient correlate by `icc`.
 */
function world(seed: string, { icc = 0, patients = 20, images = [20], rate = 1.05 * RATE }) {
  const random = createRandom(seed);
  const groups: string[] = [];
  const right: boolean[] = [];
  for (let patient = 0; patient < patients; patient++) {
    const apart = Math.sqrt(icc);
    const chance = (1 - apart) * rate + (random.next() < rate ? apart : 0);
    for (let i = images[patient % images.length]!; i > 0; i--) {
      groups.push(`${patient}`);
      right.push(random.next() >= chance);
    }
  }
  return { probabilities: right.map(() => random.next()), right, groups, threshold: 0.5 };
}

Deno.test("chooseAcceptBand() keeps its promise for images of few patients, as counting images does not", () => {
  const repeats = 200;
  // 5 %, and what chance adds to it in one case of 30,000
  const allowed = 0.05 * repeats + 4 * Math.sqrt(0.05 * 0.95 * repeats);
  const missed = (settings: Parameters<typeof world>[1]) => {
    let [byPatient, byImage] = [0, 0];
    for (let k = 0; k < repeats; k++) {
      const sample = world(`${k}`, settings);
      if (bandOf(sample, RATE)) byPatient++;
      if (bandOf({ ...sample, groups: alone(sample.right) }, RATE)) byImage++;
    }
    return { byPatient, byImage };
  };
  for (const images of [[20], [4, 4, 4, 80]]) {
    for (const icc of [0, 0.1, 0.3, 1]) {
      for (const patients of [5, 20]) {
        const { byPatient, byImage } = missed({ icc, patients, images });
        const what = `${images} ${icc} ${patients}: ${byPatient} ${byImage}`;
        assert.ok(byPatient <= allowed, what);
        if (patients === 5) assert.equal(byPatient, 0, what);
        if (icc === 1) assert.ok(byImage > 1.5 * allowed, what);
      }
    }
  }
  assert.ok(missed({ patients: 400, images: [1] }).byPatient <= allowed);
});

Deno.test("chooseAcceptBand() accepts most images of a good model on many patients", () => {
  for (const icc of [0, 0.1, 0.3]) {
    const shares = Array.from({ length: 20 }, (_, k) => {
      const sample = world(`good ${k}`, { icc, patients: 100, images: [40], rate: 0.005 });
      const { low, high } = bandOf(sample, 0.05) ?? { low: -1, high: 2 };
      return sample.probabilities.filter((p) => p <= low || p >= high).length / 4000;
    });
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    assert.ok(mean > 0.8, `${icc}: ${shares}`);
  }
});

Deno.test("chooseAcceptBand() widens by what the images are like, not by their labels", () => {
  const sample = world("any", { patients: 60, rate: 0 });
  const first = bandOf(sample, 0.1)!;
  const shuffled = createRandom("order").shuffle([...sample.right.keys()]);
  const pick = <T>(values: readonly T[]) => shuffled.map((i) => values[i]!);
  const again = {
    ...sample,
    probabilities: pick(sample.probabilities),
    groups: pick(sample.groups),
  };
  assert.deepEqual(bandOf(again, 0.1), first);
  // ties are never divided: all images are as sure
  const tied = { ...sample, probabilities: sample.right.map((_, i) => i % 2 ? 0.25 : 0.75) };
  assert.deepEqual(bandOf(tied, 0.1), { low: 0.375, high: 0.625, errorRate: 0.1 });
});

Deno.test("chanceOfWorse() falls with every right image and every patient without an error", () => {
  const patients = Array.from({ length: 30 }, (_, i) => ({ accepted: 10, wrong: Number(i < 6) }));
  const chance = chanceOfWorse(patients, 0.1);
  assert.ok(
    Math.abs(chanceOfWorse(patients.map((p) => ({ ...p, wrong: 0 })), 0.1) - 0.9 ** 30) < 1e-8,
  );
  assert.ok(chanceOfWorse([...patients, { accepted: 1, wrong: 0 }], 0.1) < chance);
  const worse = patients.with(29, { accepted: 10, wrong: 1 });
  assert.ok(chanceOfWorse(worse, 0.1) > chance);
  assert.ok(chanceOfWorse(patients, 0.05) > chance);
});
