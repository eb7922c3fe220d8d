import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import { correlation, rankCorrelation } from "../../lib/core/stats.ts";
import { askPython } from "../ask_python.ts";

Deno.test("correlation() and rankCorrelation() are scipy's, ties and constants included", async () => {
  const random = createRandom("correlations");
  const cases = Array.from({ length: 200 }, (_, i) => {
    const [n, levels] = [2 + random.integer(12), 1 + random.integer(6)];
    const draw = () =>
      Array.from({ length: n }, () => i % 2 === 0 ? random.normal() : random.integer(levels));
    return [draw(), draw()] as const;
  });
  const { correlations: answers } = await askPython(join(import.meta.dirname!, "oracle.py"), {
    correlations: cases,
  }) as { correlations: Record<"pearson" | "spearman", number | null>[] };
  const close = (ours: number | null, theirs: number | null) =>
    ours === theirs || ours !== null && theirs !== null && Math.abs(ours - theirs) < 1e-9;
  const faults = cases.filter(([a, b], i) =>
    !close(correlation(a, b), answers[i]!.pearson) ||
    !close(rankCorrelation(a, b), answers[i]!.spearman)
  );
  assert.deepEqual(faults, []);
  const undefinedOnes = answers.filter(({ pearson }) => pearson === null).length;
  assert.ok(undefinedOnes > 5 && undefinedOnes < 100, `${undefinedOnes} of constants`);
});

Deno.test("rankCorrelation() does not change when values are stretched", () => {
  const pairs = fc.array(fc.tuple(fc.integer({ min: -9, max: 9 }), fc.integer()), { minLength: 2 });
  fc.assert(fc.property(pairs, (rows) => {
    const [a, b] = [rows.map(([x]) => x), rows.map(([, y]) => y)];
    assert.equal(rankCorrelation(a, b), rankCorrelation(a.map((x) => x ** 3), b));
  }));
});

Deno.test("correlation() of fewer than two pairs is undefined", () => {
  assert.equal(correlation([], []), null);
  assert.equal(correlation([1], [2]), null);
  assert.equal(rankCorrelation([1], [2]), null);
});
