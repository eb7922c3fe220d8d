import assert from "node:assert/strict";
import { describeEvaluation, type Evaluation } from "../../lib/evaluation/results.ts";
import { evaluationNotices } from "../../lib/show/notices.ts";
import { evaluate, putImages, withNewImages } from "../evaluation/with_new_images.ts";

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
