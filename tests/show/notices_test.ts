import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import { describeEvaluation, type Evaluation } from "../../lib/evaluation/results.ts";
import type { HistoryRow } from "../../lib/run/history.ts";
import {
  evaluationNotices,
  outcomeNotices,
  reviewNotices,
  trainingNotices,
} from "../../lib/show/tables.ts";
import { evaluate, putImages, withNewImages } from "../evaluation/with_new_images.ts";

const ofTraining = (training: object) =>
  trainingNotices(parseConfig({ training }).training).map(({ text }) => text);

Deno.test("trainingNotices() says what augmentation costs, and which is not safe", () => {
  assert.deepEqual([{}, { classWeights: "balanced" }].flatMap(ofTraining), []);
  const [cost, ...others] = ofTraining({ augmentation: { symmetries: true, rotation: 10 } });
  assert.match(cost!, /frozen layers run on every one of them in every epoch/);
  assert.match(
    ofTraining({ augmentation: { symmetries: true }, cachedViews: 3 })[0]!,
    /with 3 views of every image/,
  );
  assert.deepEqual(others, []);
  const [, warning] = ofTraining({ augmentation: { blur: 3, stain: 0.1, cutOut: 0.5 } });
  assert.match(warning!, /blur \(up to 3 px\), cutOut \(up to 50 % of the side\)\. Notebook 04/);
  assert.doesNotMatch(warning!, /stain/);
});

Deno.test("trainingNotices() says what balanced sampling does to scores and probabilities", () => {
  const [text, ...others] = ofTraining({ sampling: "balanced" });
  assert.match(text!, /rarer classes higher probabilities/);
  assert.deepEqual(others, []);
});

const ofOutcome = (change: Partial<Parameters<typeof outcomeNotices>[0]>) =>
  outcomeNotices({
    history: Array(4) as HistoryRow[],
    resumedFrom: 0,
    interrupted: false,
    cacheProblem: null,
    startingWeights: { kind: "imagenet", note: "ImageNet", sha256: null },
    ...change,
  }).map(({ text }) => text);

Deno.test("outcomeNotices() says what was stopped, continued, left to do and not kept", () => {
  assert.deepEqual(ofOutcome({}), ["Started from: ImageNet."]);
  assert.match(ofOutcome({ interrupted: true })[0]!, /Stopped as you asked, after epoch 4/);
  assert.match(ofOutcome({ interrupted: true, history: [] })[0]!, /before there was a model/);
  assert.match(ofOutcome({ resumedFrom: 4 })[0]!, /already trained/);
  assert.match(ofOutcome({ resumedFrom: 3 })[0]!, /continued after its epoch 3/);
  const all = ofOutcome({ interrupted: true, resumedFrom: 3, cacheProblem: "the disk is full" });
  assert.equal(all.length, 4);
  assert.match(all[2]!, /because the disk is full\./);
});

const row = { path: "a", label: "x", predicted: "y", probability: 1, suggested: "y" };

const review = {
  file: "review.csv",
  edited: [],
  howTo: "To correct: …",
  corrections: null,
  pending: 0,
  mistakes: [row, row],
  uncertain: [row],
};

Deno.test("reviewNotices() tells what to do, of lists that were kept, and of corrections", () => {
  const [howTo, ...others] = reviewNotices(review);
  assert.match(howTo!.text, /^3 images .*review\.csv\. To correct: …$/);
  assert.deepEqual(others, []);
  const texts = reviewNotices({
    ...review,
    file: "review_2.csv",
    edited: ["review.csv"],
    pending: 1,
    corrections: {
      changes: [{ path: "<b>", before: "x_y", after: null, predicted: "z" }],
      accuracy: { before: 0.5, after: 1 },
      sentence: "1 label corrected.",
    },
  });
  assert.match(texts[1]!.text, /edited.*review\.csv\..*review_2\.csv/);
  assert.equal(texts[2]!.text, "1 label corrected.");
  assert.match(texts[3]!.html, /&lt;b&gt;.*x y.*left out.*z/);
  assert.match(texts[4]!.text, /1 label of labels\.csv is not in this split yet/);
});

Deno.test(
  "evaluationNotices() warns of an interruption, and of images that differ in more than their share",
  withNewImages((folder) => putImages(folder, 6), async (places) => {
    const result = await evaluate(places);
    const [done, shift] = evaluationNotices(result);
    assert.equal(done!.text, describeEvaluation(result).join("\n"));
    assert.equal(shift!.text, result.priorShift!.text);
    const html = (change: Partial<Evaluation>) =>
      evaluationNotices({ ...result, ...change }).map(({ html }) => html.includes("<b>⚠</b>"));
    assert.deepEqual(html({}), [false, false]);
    assert.deepEqual(html({ state: "stopped", priorShift: null }), [true]);
    const another = { ...result.priorShift!, anotherShift: true };
    assert.deepEqual(html({ priorShift: another }), [false, true]);
  }),
);
