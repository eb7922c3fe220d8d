import assert from "node:assert/strict";
import type { ExplainedReview } from "../../lib/evaluation/queue.ts";
import { toHeatMap } from "../../lib/metrics/grad_cam.ts";
import type { Flag } from "../../lib/model/reference.ts";
import { reviewGrid } from "../../lib/show/explanations.ts";

const SIZE = 32;

function example(name: string, flags: Flag[], strength = 1): ExplainedReview {
  const evidence = new Float32Array(16).fill(0);
  evidence[3] = strength;
  const image = {
    path: name,
    pixels: new Uint8Array(SIZE * SIZE * 3).fill(128),
    size: SIZE,
    probabilities: [0.4, 0.6],
    predicted: "c",
    explained: "c",
    map: toHeatMap(evidence, { height: 4, width: 4 }),
  };
  return { name, predicted: "c_<i>", probability: 0.625, flags, image };
}

Deno.test("reviewGrid() says of each image why it is there, and lets no name be markup", async () => {
  const { svg } = await reviewGrid(
    [example("a/<b>.png", ["unusual_colour", "unfamiliar"]), example("d.png", [], 0)],
    { run: "r<1>", positive: "c_<i>", of: 12 },
  );
  for (
    const text of ["unusual colour, unfamiliar", "uncertain", "p = 0.625", "2 of n = 12 images"]
  ) {
    assert.ok(svg.includes(text), text);
  }
  assert.ok(svg.includes("no evidence for it found"));
  assert.doesNotMatch(svg, /<b>|<i>|<1>/);
  assert.equal(svg.match(/<image /g)?.length, 4);
});

Deno.test("reviewGrid() of nothing says that nothing needs a review", async () => {
  const { svg } = await reviewGrid([], { run: "r", positive: "c", of: 0 });
  assert.ok(svg.includes("No image needs a review."));
  assert.doesNotMatch(svg, /<image /);
});
