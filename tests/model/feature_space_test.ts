import assert from "node:assert/strict";
import { join } from "node:path";
import { createRandom } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import {
  featureDistance,
  fitFeatureSpace,
  principalComponents,
} from "../../lib/model/feature_space.ts";
import { askPython } from "../ask_python.ts";

const WIDTH = 60;

const random = createRandom("features");

/** Features as of a network: not negative, few directions strong, some channels never used. */
const basis = Array.from(
  { length: 12 },
  (_, k) => Array.from({ length: WIDTH }, () => random.normal() / (k + 1)),
);

const draw = (shift: number) =>
  Float32Array.from({ length: WIDTH }, (_, j) => j >= WIDTH - 4 ? 0 : 2).map((value, j) => {
    const strength = basis.reduce((sum, row) => sum + 0.5 * random.normal() * row[j]!, 0);
    return value === 0
      ? 0
      : Math.max(0, value + strength + 0.1 * random.normal() + shift * (j % 2));
  });

const ordinary = Array.from({ length: 160 }, () => draw(0));

const unlike = Array.from({ length: 20 }, () => draw(3));

Deno.test("featureDistance() is numpy's, and 1 on the average of what it was fitted to", async () => {
  const before = tf.memory().numTensors;
  const space = fitFeatureSpace(ordinary);
  assert.equal(tf.memory().numTensors, before);
  assert.equal(space.variances.length, 32);
  const expected = await askPython(join(import.meta.dirname!, "feature_space_oracle.py"), {
    features: ordinary.map((row) => [...row]),
    others: unlike.map((row) => [...row]),
    count: 32,
  }) as { variances: number[]; own: number[]; others: number[] };
  // 16-bit directions have three digits
  const close = (a: number, b: number, what: string) =>
    assert.ok(Math.abs(a - b) <= 0.02 * b, `${what}: ${a} instead of ${b}`);
  space.variances.slice(0, 12).forEach((v, k) => close(v, expected.variances[k]!, `variance ${k}`));
  const own = ordinary.map((row) => featureDistance(row, space));
  own.forEach((distance, i) => close(distance, expected.own[i]!, `ordinary ${i}`));
  unlike.forEach((row, i) =>
    close(featureDistance(row, space), expected.others[i]!, `unlike ${i}`)
  );
  close(Math.sqrt(own.reduce((sum, d) => sum + d * d, 0) / own.length), 1, "mean square");
  assert.ok(Math.min(...unlike.map((row) => featureDistance(row, space))) > Math.max(...own));
});

Deno.test("featureDistance() does not depend on the features' scale, and is infinite of no numbers", () => {
  const space = fitFeatureSpace(ordinary.slice(0, 40));
  assert.equal(space.variances.length, 10); // four images for each
  const [row] = unlike;
  const twice = featureDistance(row!.map((value) => 1000 * value), space);
  assert.ok(Math.abs(twice / featureDistance(row!, space) - 1) < 1e-5);
  assert.equal(featureDistance(row!.map(() => NaN), space), Infinity);
  assert.ok(Number.isFinite(featureDistance(new Float32Array(WIDTH), space)));
});

Deno.test("fitFeatureSpace() of images that are all alike gives finite distances", () => {
  const space = fitFeatureSpace(Array.from({ length: 20 }, () => ordinary[0]!));
  assert.ok(featureDistance(ordinary[0]!, space) < 10);
  assert.ok(featureDistance(unlike[0]!, space) > 100);
});

Deno.test("principalComponents() are orthonormal, ordered, and the same again", () => {
  const rows = Float32Array.from(ordinary.flatMap((row) => [...row]));
  const found = principalComponents(rows, WIDTH, 6);
  const row = (i: number) => found.subarray(i * WIDTH, (i + 1) * WIDTH);
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, v, k) => sum + v * b[k]!, 0);
  for (let i = 0; i < 6; i++) {
    for (let j = 0; j <= i; j++) {
      assert.ok(Math.abs(dot(row(i), row(j)) - (i === j ? 1 : 0)) < 1e-5, `${i} · ${j}`);
    }
  }
  const variances = Array.from(
    { length: 6 },
    (_, i) => ordinary.reduce((sum, image) => sum + dot(image, row(i)) ** 2, 0),
  );
  assert.deepEqual(variances, variances.toSorted((a, b) => b - a));
  assert.deepEqual(principalComponents(rows, WIDTH, 6), found);
});
