import assert from "node:assert/strict";
import { betterThanBaseline } from "../../lib/metrics/baseline.ts";

const labels = Array.from({ length: 100 }, (_, i) => i < 20 ? 1 : 0);

Deno.test("betterThanBaseline() calls a good model better, and no constant, random or lucky one", () => {
  const good = labels.map((label, i) => i === 0 || i === 50 ? 1 - label : label);
  const { p, better, headline, sentence } = betterThanBaseline({ labels, predicted: good });
  assert.ok(better && Math.abs(p - 21 / 2 ** 20) < 1e-15); // 19 of 20 discordant images
  assert.match(headline, /^Better than/);
  assert.match(sentence, /98\.0 % .* 80\.0 %.*19 images, only .* 1 image\)/);
  const useless = (predict: (i: number) => number, words: RegExp) => {
    const verdict = betterThanBaseline({ labels, predicted: labels.map((_, i) => predict(i)) });
    assert.equal(verdict.better, false);
    assert.match(verdict.headline, words);
    assert.match(verdict.sentence, /is not shown to be better than/);
    return verdict.p;
  };
  assert.equal(useless(() => 0, /no better than the baseline/), 1);
  useless((i) => i % 2, /no better than the baseline/);
  useless((i) => i < 2 ? 1 : 0, /not shown .* its lead on these 100 images may be chance/);
  assert.equal(betterThanBaseline({ labels: [], predicted: [] }).better, false);
});

Deno.test("betterThanBaseline() counts a group's images as one piece of evidence", () => {
  const predicted = labels;
  assert.ok(betterThanBaseline({ labels, predicted }).better); // 20 images that it alone has right
  // all of them from four patients: 16 ways to change places, one as good as this
  const few = betterThanBaseline({ labels, predicted, groups: labels.map((_, i) => `${i % 4}`) });
  assert.deepEqual([few.p, few.better], [1 / 16, false]);
  assert.match(few.sentence, /not shown .*\(exact sign-flip test by group, one-sided, 4 groups: p/);
  assert.match(few.sentence, /With fewer than 5 patients or slides no result can show it\.$/);
  const more = betterThanBaseline({ labels, predicted, groups: labels.map((_, i) => `${i % 5}`) });
  assert.deepEqual([more.p, more.better], [1 / 32, true]);
  assert.doesNotMatch(more.sentence, /no result can/);
});

Deno.test("betterThanBaseline() is the McNemar test where every image is its own group", () => {
  const predicted = labels.map((label, i) => i % 7 === 0 ? 1 - label : label);
  const groups = labels.map((_, i) => `image ${i}`);
  assert.deepEqual(
    betterThanBaseline({ labels, predicted, groups }),
    betterThanBaseline({ labels, predicted }),
  );
});
