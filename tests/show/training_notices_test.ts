import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import { trainingNotices } from "../../lib/show/notices.ts";

const texts = (training: object) =>
  trainingNotices(parseConfig({ training }).training).map(({ text }) => text);

Deno.test("trainingNotices() says nothing about the default settings", () => {
  assert.deepEqual(texts({}), []);
  assert.deepEqual(texts({ classWeights: "balanced" }), []);
});

Deno.test("trainingNotices() says what augmentation costs, and which is not safe", () => {
  const [cost, ...others] = texts({ augmentation: { symmetries: true, rotation: 10 } });
  assert.match(cost!, /frozen layers run on every one of them in every epoch/);
  assert.match(
    texts({ augmentation: { symmetries: true }, cachedViews: 3 })[0]!,
    /with 3 views of every image/,
  );
  assert.deepEqual(others, []);
  const [, warning] = texts({ augmentation: { blur: 3, stain: 0.1, cutOut: 0.5 } });
  assert.match(warning!, /blur \(up to 3 px\), cutOut \(up to 50 % of the side\)\. Notebook 04/);
  assert.doesNotMatch(warning!, /stain/);
});

Deno.test("trainingNotices() says what balanced sampling does to scores and probabilities", () => {
  const [text, ...others] = texts({ sampling: "balanced" });
  assert.match(text!, /rarer classes higher probabilities/);
  assert.deepEqual(others, []);
});
