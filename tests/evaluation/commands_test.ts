import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError, ModelError } from "../../lib/core/errors.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { parseFormats } from "../../lib/evaluation/export.ts";
import { parseShard } from "../../lib/evaluation/work.ts";
import { saveKeras } from "../../lib/model/keras_files.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel } from "../../lib/model/saved.ts";
import { parseEvaluateArguments } from "../../tools/evaluate.ts";
import { measureParity } from "../../tools/measure_parity.ts";
import { parseParityArguments } from "../../tools/parity.ts";
import { put } from "../data/test_images.ts";
import { putPictures, refuses, withNewImages } from "./with_new_images.ts";

const parse = (...args: string[]) => parseEvaluateArguments(args, "/here")!;

Deno.test("parseEvaluateArguments() takes a folder, a run and files, from where they were typed", () => {
  const usual = { followLinks: false, run: "default" };
  assert.deepEqual(parse("new"), { ...usual, folder: "/here/new", options: {} });
  const pas = { ...usual, folder: "/abs/new", run: "pas", options: { out: "/x.csv", force: true } };
  assert.deepEqual(parse("/abs/new", "--run", "pas", "--out", "../x.csv", "--force"), pas);
  const options = { out: "/here/y.csv" };
  assert.deepEqual(parse("--out=y.csv", "."), { ...usual, folder: "/here", options });
  assert.deepEqual(parse("a", "--shard", "2/12").options, { shard: "2/12" });
  assert.deepEqual(
    parse("a", "--merge", "--format", "csv, parquet,csv", "--sidecar", "s.csv").options,
    { merge: true, format: "csv, parquet,csv", sidecar: "/here/s.csv" },
  );
  assert.equal(parse("a", "--follow-links").followLinks, true);
  assert.equal(parse("--help"), null);
  assert.equal(parse("new", "-h"), null);
});

Deno.test("parseEvaluateArguments() refuses what it cannot use, with its usage", () => {
  const cases: [string[], RegExp][] = [
    ...[[], ["a", "b"], [""]].map((
      args,
    ): [string[], RegExp] => [args, /One folder of images must/]),
    [["a", "--runs", "x"], /--runs/],
    [["a", "--run"], /--run/],
    [["a", "--out", ""], /--out needs a file/],
    [["a", "--sidecar="], /--sidecar needs a file/],
    [["a", "--force=yes"], /--force/],
    [["a", "--shard", "1/2", "--merge"], /--shard evaluates a part/],
    [["a", "--shard", "1/2", "--format", "parquet"], /--shard evaluates a part/],
  ];
  for (const [args, message] of cases) {
    assert.throws(() => parse(...args), (error: unknown) => {
      assert(error instanceof ConfigError);
      assert.match(error.message, message);
      assert.match(error.remedy, /deno task evaluate DIR/);
      return true;
    });
  }
});

Deno.test("parseShard() and parseFormats() refuse parts and formats that there are not", () => {
  for (const shard of ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2", "1/99999", ""]) {
    assert.throws(() => parseShard(shard), /--shard .*: a part and the number/);
  }
  for (const format of ["xlsx", "", "csv,", "csv;parquet", "jsonl"]) {
    assert.throws(() => parseFormats(format), /there is no format/);
  }
});

Deno.test(
  "measureParity() compares with Python Keras, and finds a difference where there is one",
  withNewImages(async (folder) => {
    await putPictures(folder, 3);
    await put(folder, "x.png", "no image");
  }, async ({ root, folder, modelFolder }) => {
    const before = tf.memory().numTensors;
    const { model, card } = await loadModel(modelFolder);
    const options = { folder, modelFolder, most: 10 };
    await refuses(measureParity(options), /model.keras is not there/, ModelError);

    await saveKeras(modelFolder, model, card);
    const parity = await measureParity(options);
    assert.deepEqual([parity.images, parity.unreadable], [3, 1]);
    assert.ok(parity.difference <= parity.tolerance, `${parity.difference}`);
    assert.equal((await measureParity({ ...options, most: 2 })).images, 2);

    const bias = model.weights.get("predictions/bias")!;
    model.weights.set("predictions/bias", tf.tidy(() => bias.add([0.01, 0])));
    bias.dispose();
    await saveKeras(modelFolder, model, card);
    const apart = await measureParity(options);
    assert.ok(apart.difference > 1e-3 && apart.difference < 3e-3, `${apart.difference}`);
    assert.match(apart.worst, /^[012]\.png$/);

    const weights = { ...card.weights, sha256: "1".repeat(64) };
    await saveKeras(modelFolder, model, { ...card, weights });
    await refuses(measureParity(options), /belongs to another training/, ModelError);
    await saveKeras(modelFolder, model, card);
    await Deno.mkdir(join(root, "empty"));
    await refuses(measureParity({ ...options, folder: join(root, "empty") }), /./);
    disposeModel(model);
    assert.equal(tf.memory().numTensors, before);
  }),
);

Deno.test("parseParityArguments() takes a folder, a run and a number", () => {
  const parsed = parseParityArguments(["images", "--most", "7", "--run", "r"], "/here");
  assert.deepEqual(parsed, { folder: "/here/images", run: "r", most: 7 });
  assert.equal(parseParityArguments(["--help"], "/here"), null);
  for (const args of ["", "a b", "a --most 0", "a --most x", "--no a"]) {
    assert.throws(() => parseParityArguments(args.split(" "), "/here"), ConfigError);
  }
  assert.throws(() => parseParityArguments([], "/here"), ConfigError);
});
