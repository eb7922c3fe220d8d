import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import {
  describeExternal,
  externalScores,
  NO_EXTERNAL_SCORES,
} from "../../lib/evaluation/external.ts";
import { newcombe } from "../../lib/metrics/intervals.ts";
import { computeScores, type ScoredSample } from "../../lib/metrics/scores.ts";
import { externalScoresTable } from "../../lib/show/group_charts.ts";
import { askPython } from "../ask_python.ts";

/** Predictions that are as good as `signal`; images of a group share a part of their noise. */
function sample(
  n: number,
  { signal, groups, seed, positives = 0.3 }: {
    signal: number;
    groups?: number;
    seed: string;
    positives?: number;
  },
): ScoredSample {
  const random = createRandom(seed);
  const shared = Array.from({ length: groups ?? 1 }, () => random.normal());
  const labels = Array.from({ length: n }, () => random.next() < positives ? 1 : 0);
  const probabilities = labels.map((label, i) => {
    const noise = random.normal() + (groups ? shared[i % groups]! : 0);
    return 1 / (1 + Math.exp(-(signal * (label - 0.5) + noise)));
  });
  return {
    labels,
    probabilities,
    predicted: probabilities.map((p) => p >= 0.5 ? 1 : 0),
    ...(groups ? { groups: labels.map((_, i) => `g${i % groups}`) } : {}),
    seed,
  };
}

const dropOf = (result: Awaited<ReturnType<typeof externalScores>>, name: string) =>
  result.drops.find((drop) => drop.name === name)!;

Deno.test("newcombe() gives the intervals of his own table", () => {
  // R. G. Newcombe, Statistics in Medicine 17 (1998), table II, method 10
  for (
    const [a, b, low, high] of [
      [[56, 70], [48, 80], 0.0524, 0.3339],
      [[9, 10], [3, 10], 0.1705, 0.8090],
      [[5, 56], [0, 29], -0.0381, 0.1926],
      [[10, 10], [0, 10], 0.6075, 1],
    ] as const
  ) {
    const share = ([of, n]: readonly [number, number]) => ({ share: of / n, of: n });
    const found = newcombe(share(a), share(b));
    assert.ok(Math.abs(found.low - low) < 6e-5, `${a} − ${b}: ${found.low}`);
    assert.ok(Math.abs(found.high - high) < 6e-5, `${a} − ${b}: ${found.high}`);
  }
});

Deno.test("externalScores() has scipy's and numpy's drops and intervals, by image and by group", async () => {
  const cases = [
    {
      internal: sample(150, { signal: 3, seed: "a" }),
      external: sample(220, { signal: 2, seed: "b", positives: 0.1 }),
      grouped: false,
    },
    {
      internal: sample(160, { signal: 3, groups: 12, seed: "c" }),
      external: sample(240, { signal: 3, groups: 20, seed: "d" }),
      grouped: true,
    },
  ];
  const expected = await askPython(
    join(import.meta.dirname!, "external_scores_oracle.py"),
    cases,
  ) as Record<string, [number, number, number]>[];
  for (const [i, { internal, external }] of cases.entries()) {
    const result = await externalScores(internal, external);
    assert.deepEqual(
      result.drops.map(({ internal }) => internal),
      Object.values(computeScores(internal)),
    );
    assert.deepEqual(
      result.drops.map(({ external }) => external),
      Object.values(computeScores(external)),
    );
    for (const [name, [drop, low, high]] of Object.entries(expected[i]!)) {
      const found = dropOf(result, name);
      assert.ok(Math.abs(found.drop! - drop) < 1e-9, `${name}: ${found.drop} instead of ${drop}`);
      // ends of two bootstraps differ by chance; of accuracy Newcombe's interval may be the wider
      const tolerance = 0.09 * (high - low);
      if (name === "accuracy") {
        assert.ok(found.low! <= low + tolerance && found.high! >= high - tolerance);
        continue;
      }
      assert.ok(Math.abs(found.low! - low) < tolerance, `${name}: ${found.low} for ${low}`);
      assert.ok(Math.abs(found.high! - high) < tolerance, `${name}: ${found.high} for ${high}`);
    }
  }
});

Deno.test("externalScores() by hand: nine of ten right becomes six of ten", async () => {
  const of = (right: number): ScoredSample => {
    const labels = Array.from({ length: 10 }, (_, i) => i % 2);
    const predicted = labels.map((label, i) => i < right ? label : 1 - label);
    return { labels, predicted, probabilities: predicted.map((p) => p), seed: 1 };
  };
  const result = await externalScores(of(9), of(6));
  const { drop, low, high } = dropOf(result, "accuracy");
  assert.ok(Math.abs(drop! - 0.3) < 1e-12);
  const least = newcombe({ share: 0.9, of: 10 }, { share: 0.6, of: 10 });
  assert.ok(low! <= least.low && high! >= least.high);
  // an error that grows is a drop too
  assert.ok(Math.abs(dropOf(result, "brier").drop! - 0.3) < 1e-12);
  assert.deepEqual(result.external, { images: 10, positives: 5, groups: 10 });
  // without an error there is nothing to resample, and still the accuracy has an interval
  const perfect = await externalScores(of(10), of(10));
  const accuracy = dropOf(perfect, "accuracy");
  assert.ok(accuracy.drop === 0 && accuracy.low! < -0.2 && accuracy.high! > 0.2);
  const auc = dropOf(perfect, "roc_auc");
  assert.deepEqual([auc.drop, auc.low, auc.high], [0, null, null]);
  assert.match(auc.reason!, /all give the same value/);
  // where only one of the two has no error, its share of the uncertainty is said to be missing
  const worse = dropOf(await externalScores(of(10), of(6)), "roc_auc");
  assert.ok(worse.low! > 0 && worse.high! < 0.9 && worse.low! < worse.drop!);
  assert.match(worse.reason!, /test images give the same value.*others alone/);
});

Deno.test("externalScores() says why a score of a folder of one class cannot be compared", async () => {
  const internal = sample(60, { signal: 2, seed: "e" });
  const external = sample(40, { signal: 4, seed: "f", positives: 0 });
  const result = await externalScores(internal, external);
  const auc = dropOf(result, "roc_auc");
  assert.deepEqual([auc.drop, auc.low, auc.external.value], [null, null, null]);
  assert.match(auc.reason!, /^new images: /);
  assert.ok(dropOf(result, "specificity").low !== null);
  const counts = { labelled: 40, classified: 45 };
  assert.match(describeExternal(result, counts), /5 have no label.*cannot be told/s);
  const html = externalScoresTable(result, { run: "<b>" });
  assert.match(JSON.stringify(html), /–.*&lt;b&gt;|&lt;b&gt;.*–/s);
});

Deno.test("describeExternal() tells a worse ranking from one that is not shown to be another", async () => {
  const good = sample(200, { signal: 3, seed: "g" });
  const bad = sample(300, { signal: 1, seed: "h" });
  const counts = { labelled: 300, classified: 300 };
  assert.match(describeExternal(await externalScores(good, bad), counts), /is worse/);
  const more = { labelled: 40_000, classified: 40_000 };
  assert.match(
    describeExternal(await externalScores(bad, good), more),
    /at random from 40000.*is better/s,
  );
  const same = await externalScores(good, { ...good, seed: "i" });
  assert.match(describeExternal(same, counts), /not shown to be another/);
  assert.match(NO_EXTERNAL_SCORES, /class folders nor a labels\.csv/);
});
