import assert from "node:assert/strict";
import { reviewNotices } from "../../lib/show/notices.ts";

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

Deno.test("reviewNotices() says what to do, and nothing of corrections that were not made", () => {
  const notices = reviewNotices(review);
  assert.deepEqual(notices.map(({ text }) => text), [
    "3 images to look at again are listed in review.csv. To correct: …",
  ]);
});

Deno.test("reviewNotices() tells of lists that were kept, corrections, and those to be taken up", () => {
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
  assert.match(texts[1]!.text, /review\.csv has been edited.* left as it is.*review_2\.csv/);
  assert.equal(texts[2]!.text, "1 label corrected.");
  assert.match(texts[3]!.html, /&lt;b&gt;.*x y.*left out.*z/);
  assert.match(texts[4]!.text, /1 label of labels\.csv is not in this split yet/);
});
