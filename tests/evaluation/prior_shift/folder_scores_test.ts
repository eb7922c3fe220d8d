import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../../lib/core/random.ts";
import {
  CELLS,
  explainScores,
  leastGain,
  scoreDensity,
  shareFrom,
} from "../../../lib/evaluation/folder_scores.ts";
import { askPython } from "../../ask_python.ts";
import { summaryOf, syntheticScores, validationOf } from "./synthetic_scores.ts";

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
