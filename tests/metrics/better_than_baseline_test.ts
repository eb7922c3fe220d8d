import assert from "node:assert/strict";
import { betterThanBaseline } from "../../lib/metrics/baseline.ts";

const labels = Array.from({ length: 100 }, (_, i) => i < 20 ? 1 : 0);

Deno.test("betterThanBaseline() calls a good model better", () => {
  const predicted = labels.map((label, i) => i === 0 || i === 50 ? 1 - label : label);
  const { p, better, headline, sentence } = betterThanBaseline({ labels, predicted });
  assert.equal(headline, "Better than always giving the more frequent answer.");
  assert.ok(p < 1e-4 && better); // 19 of 20 discordant images: 21 / 2^20
  assert.ok(Math.abs(p - 21 / 2 ** 20) < 1e-15);
  assert.match(sentence, /98\.0 % is better than the 80\.0 %.*19 images, only .* 1 image\)/);
});

Deno.test("betterThanBaseline() does not call a constant or a random model better", () => {
  const constant = betterThanBaseline({ labels, predicted: labels.map(() => 0) });
  assert.deepEqual([constant.p, constant.better], [1, false]);
  assert.match(constant.sentence, /is not shown to be better than/);
  const coin = betterThanBaseline({ labels, predicted: labels.map((_, i) => i % 2) });
  assert.equal(coin.better, false);
  for (const { headline } of [constant, coin]) {
    assert.match(
      headline,
      /^This model is no better than the baseline.* Do not rely on its answers/,
    );
  }
});

Deno.test("betterThanBaseline() says plainly that a small lead may be chance", () => {
  const predicted = labels.map((_, i) => i < 2 ? 1 : 0);
  const { better, headline } = betterThanBaseline({ labels, predicted });
  assert.equal(better, false);
  assert.match(
    headline,
    /not shown that this model is better.*: its lead on these 100 images may be chance/,
  );
});

Deno.test("betterThanBaseline() has an answer for no images", () => {
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
