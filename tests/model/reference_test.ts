import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { writeJson } from "../../lib/core/files.ts";
import { ProjectError } from "../../lib/core/errors.ts";
import { createRandom } from "../../lib/core/random.ts";
import { imageTraits } from "../../lib/images/traits.ts";
import { createModel, disposeModel } from "../../lib/model/model.ts";
import type { Appearance } from "../../lib/model/predict.ts";
import {
  conformalLimit,
  fitReference,
  readFlagger,
  REFERENCE_FILE,
  usualRange,
} from "../../lib/model/reference.ts";
import { inFolder, picturePixels } from "../data/test_images.ts";

const [SIZE, CHANNELS] = [32, 1280];

const card = { weights: { sha256: "a".repeat(64), parameters: 1 } };

const random = createRandom("appearances");

/** A picture of a certain size whose features say nothing. */
function appearance(seed: number, side = 200): Appearance {
  const features = Float32Array.from({ length: CHANNELS }, () => Math.abs(random.normal()));
  const size = { width: side, height: side };
  return { traits: imageTraits(picturePixels(seed, SIZE, SIZE), SIZE, size), features };
}

const train = Array.from({ length: 24 }, (_, i) => appearance(i));

const validation = Array.from({ length: 12 }, (_, i) => appearance(100 + i));

const options = { share: 0.01, weightsSha256: card.weights.sha256 };

const reference = fitReference({ train, validation }, options)!;

/** A model of the least weight, for its shapes alone. */
const model = createModel(
  { backbone: "efficientnet_lite0", imageSize: SIZE, classes: ["a", "b"] },
  1,
  () => false,
);

disposeModel(model);

Deno.test("fitReference() says what it rests on, and nothing of too few images", () => {
  assert.deepEqual(reference.images, { train: 24, validation: 12 });
  assert.ok(Math.abs(reference.chance - 2 / 13) < 1e-12); // of twelve the largest, twice
  assert.equal(reference.features.variances.length, 6);
  assert.equal(fitReference({ train: train.slice(0, 19), validation }, options), null);
  assert.equal(fitReference({ train, validation: validation.slice(0, 9) }, options), null);
});

Deno.test("readFlagger() reads a reference, for these weights alone", () =>
  inFolder(async (folder) => {
    assert.equal(await readFlagger(folder, model, card), null);
    await writeJson(join(folder, REFERENCE_FILE), reference);
    const flagger = (await readFlagger(folder, model, card))!;
    const [{ features }] = validation as [Appearance];
    const original = picturePixels(100, SIZE, SIZE);
    const flags = (width: number, height: number) => flagger({ original, features, width, height });
    assert.deepEqual(flags(200, 200), []);
    assert.deepEqual(flags(20, 20), ["unusual_size"]);
    assert.deepEqual(flags(2000, 2000), ["unusual_size"]);
    assert.deepEqual(flags(600, 67), ["unusual_shape"]);
    const broken = { original, features: features.map(() => NaN), width: 200, height: 200 };
    assert.deepEqual(flagger(broken), ["unfamiliar"]);
    const others = { weights: { ...card.weights, sha256: "b".repeat(64) } };
    assert.equal(await readFlagger(folder, model, others), null);
  }));

Deno.test("readFlagger() refuses a file that was tampered with, before it makes room for anything", () =>
  inFolder(async (folder) => {
    const path = join(folder, REFERENCE_FILE);
    const refused = async (pattern: RegExp) =>
      await assert.rejects(readFlagger(folder, model, card), (error: unknown) => {
        assert(error instanceof ProjectError, String(error));
        assert.match(error.message, pattern);
        assert.match(error.message, /notebook 06/);
        return true;
      });
    for (const [text, pattern] of [["{", /not valid JSON/], ["[]", /this version/]] as const) {
      await Deno.writeTextFile(path, text);
      await refused(pattern);
    }
    const { mean, directions, variances } = reference.features;
    const NaNs = new Uint8Array(2 * CHANNELS).fill(0x7d).toBase64();
    const { blur: _, ...ranges } = reference.traits.ranges;
    for (
      const [part, change, pattern] of [
        ["", { format: 2 }, /this version \(format/],
        ["features", { channels: 1e9 }, /features\.channels/],
        ["features", { channels: 2048 }, /this model's features/],
        ["features", { mean: mean.slice(4) }, /this model's features/],
        ["features", { directions: "!".repeat(directions.length) }, /this model's features/],
        ["features", { mean: NaNs }, /this model's features/],
        ["features", { variances: [...variances, 1] }, /this model's features/],
        ["features", { rest: 0 }, /features\.rest/],
        ["traits", { ranges }, /traits\.ranges/],
        ["traits", { limit: 0 }, /traits\.limit/],
      ] as const
    ) {
      const copy = structuredClone(reference);
      Object.assign(part === "" ? copy : copy[part], change);
      await writeJson(path, copy);
      await refused(pattern);
    }
    await Deno.writeFile(path, new Uint8Array(3_000_000));
    await refused(/too large/);
  }));

Deno.test("usualRange() is the standard deviation of normal numbers on both sides", () => {
  const random = createRandom("normal");
  const { median, below, above } = usualRange(
    Array.from({ length: 20_000 }, () => 5 + 2 * random.normal()),
    0,
  );
  for (const [value, expected] of [[median, 5], [below, 2], [above, 2]] as const) {
    assert.ok(Math.abs(value - expected) < 0.06, `${value} instead of ${expected}`);
  }
});

Deno.test("usualRange() has a side for each direction, and is not moved by one wild number", () => {
  // of 0 to 100: median 50, 5th 5 and 95th 95; above the median everything doubled
  const values = Array.from({ length: 101 }, (_, i) => i <= 50 ? i : 2 * i - 50);
  const range = usualRange(values, 1);
  assert.equal(range.median, 50);
  assert.ok(Math.abs(range.below - 45 / 1.6449) < 1e-9);
  assert.ok(Math.abs(range.above - 90 / 1.6449) < 1e-9);
  assert.deepEqual(usualRange([...values.slice(0, -1), 1e9], 1), range);
  assert.deepEqual(usualRange([3, 3, 3], 0.5), { median: 3, below: 0.5, above: 0.5 });
});

Deno.test("conformalLimit() takes the number that the share asks for, by hand", () => {
  const values = Array.from({ length: 199 }, (_, i) => 199 - i); // 1 to 199
  // ⌈200 × 0.99⌉ = 198, ⌈200 × 0.995⌉ = 199
  assert.equal(conformalLimit(values, 0.01).limit, 198);
  assert.ok(Math.abs(conformalLimit(values, 0.01).chance - 0.01) < 1e-12);
  assert.equal(conformalLimit(values, 0.005).limit, 199);
  // too few numbers for the share: the largest one, and the chance that it vouches for
  assert.deepEqual(conformalLimit([3, 1, 2], 0.01), { limit: 3, chance: 0.25 });
});

Deno.test("conformalLimit() is exceeded as seldom as it says, whatever the distribution", () => {
  fc.assert(
    fc.property(fc.integer({ min: 5, max: 60 }), fc.integer({ min: 1, max: 30 }), (m, percent) => {
      const random = createRandom(`${m}/${percent}`);
      const heavy = () => Math.exp(3 * random.normal());
      const rounds = 1500;
      let [exceeded, chance] = [0, 0];
      for (let round = 0; round < rounds; round++) {
        const found = conformalLimit(Array.from({ length: m }, heavy), percent / 100);
        chance = found.chance;
        if (heavy() > found.limit) exceeded++;
      }
      const spread = Math.sqrt(chance * (1 - chance) / rounds);
      assert.ok(
        Math.abs(exceeded / rounds - chance) < 5 * spread,
        `${exceeded / rounds}: ${chance}`,
      );
      assert.ok(chance <= Math.max(percent / 100, 1 / (m + 1)) + 1e-9);
    }),
    { numRuns: 12, seed: 3 },
  );
});
