import assert from "node:assert/strict";
import { join } from "node:path";
import { readJson, writeJson } from "../../../lib/core/files.ts";
import { createRandom } from "../../../lib/core/random.ts";
import { imageTraits } from "../../../lib/images/traits.ts";
import { createModel, disposeModel } from "../../../lib/model/model.ts";
import {
  type Appearance,
  fitReference,
  packFloats,
  readFlagger,
  type Reference,
  REFERENCE_FILE,
  unpackFloats,
  writeReference,
} from "../../../lib/model/ordinary.ts";
import { inFolder, picturePixels } from "../../data/test_images.ts";

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

Deno.test("readFlagger() reads what writeReference() wrote, for these weights alone", () =>
  inFolder(async (folder) => {
    assert.equal(await readFlagger(folder, model, card), null);
    await writeReference(folder, reference);
    const flagger = (await readFlagger(folder, model, card))!;
    const [{ features }] = validation as [Appearance];
    const original = picturePixels(100, SIZE, SIZE);
    const flags = (width: number, height: number) =>
      flagger({ original, features, width, height }).flags;
    assert.deepEqual(flags(200, 200), []);
    assert.deepEqual(flags(20, 20), ["unusual_size"]);
    assert.deepEqual(flags(2000, 2000), ["unusual_size"]);
    assert.deepEqual(flags(600, 67), ["unusual_shape"]);
    const same = flagger({ original, features, width: 200, height: 200 });
    assert.ok(same.strangeness > 0 && same.strangeness <= 1);
    const broken = { original, features: features.map(() => NaN), width: 200, height: 200 };
    assert.deepEqual(flagger(broken), { flags: ["unfamiliar"], strangeness: Infinity });
    const others = { weights: { ...card.weights, sha256: "b".repeat(64) } };
    assert.equal(await readFlagger(folder, model, others), null);
  }));

Deno.test("readFlagger() refuses a file that was tampered with, before it makes room for anything", () =>
  inFolder(async (folder) => {
    const path = join(folder, REFERENCE_FILE);
    const refused = async (pattern: RegExp) =>
      await assert.rejects(readFlagger(folder, model, card), (error: unknown) => {
        assert(error instanceof Error && error.name === "ModelError", String(error));
        assert.match(error.message, pattern);
        assert.match(error.message, /notebook 06/);
        return true;
      });
    const change = async (edit: (copy: Reference) => unknown) => {
      await writeReference(folder, reference);
      const copy = await readJson(path, "") as Reference;
      edit(copy);
      await writeJson(path, copy);
    };
    for (const [text, pattern] of [["{", /not JSON/], ["[]", /this version/]] as const) {
      await Deno.writeTextFile(path, text);
      await refused(pattern);
    }
    await change((copy) => Object.assign(copy, { format: 2 }));
    await refused(/this version \(format/);
    await change((copy) => copy.features.channels = 1e9);
    await refused(/features\.channels/);
    await change((copy) => copy.features.channels = 2048);
    await refused(/this model's features/);
    await change((copy) => copy.features.mean = copy.features.mean.slice(4));
    await refused(/this model's features/);
    await change((copy) => copy.features.directions = "!".repeat(copy.features.directions.length));
    await refused(/this model's features/);
    await change((copy) => copy.features.variances.push(1));
    await refused(/this model's features/);
    await change((copy) => copy.features.rest = 0);
    await refused(/features\.rest/);
    await change((copy) => delete (copy.traits.ranges as Record<string, unknown>)["blur"]);
    await refused(/traits\.ranges/);
    await change((copy) => copy.traits.limit = 0);
    await refused(/traits\.limit/);
    await Deno.writeFile(path, new Uint8Array(3_000_000));
    await refused(/too large/);
  }));

Deno.test("unpackFloats() gives back what packFloats() took, and nothing of anything else", () => {
  const values = Float32Array.from([0, 1, -2.5, 65504, 6.1e-5, 1 / 3]);
  const text = packFloats(values);
  unpackFloats(text, 6)!.forEach((value, i) => {
    assert.ok(Math.abs(value - values[i]!) <= 5e-4 * Math.abs(values[i]!));
  });
  assert.deepEqual(unpackFloats(text, 6)!.slice(0, 4), values.slice(0, 4));
  for (const count of [5, 7, 0]) assert.equal(unpackFloats(text, count), null);
  for (const value of [NaN, Infinity, 1e6]) {
    assert.equal(unpackFloats(packFloats(Float32Array.from([value])), 1), null);
  }
});
