import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { ConfigError, DataError, ModelError } from "../../lib/core/errors.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { saveKeras } from "../../lib/model/keras_files.ts";
import { createModel, disposeModel } from "../../lib/model/model.ts";
import { saveModel } from "../../lib/model/saved.ts";
import { measureParity } from "../../tools/measure_parity.ts";
import { parseParityArguments } from "../../tools/parity.ts";
import { someImages } from "../model/ask_keras.ts";
import { testCard } from "../model/model_card.ts";

Deno.test("measureParity() compares with Python Keras, and finds a difference where there is one", async () => {
  const before = tf.memory().numTensors;
  const root = await Deno.makeTempDir();
  const [folder, modelFolder] = [join(root, "images"), join(root, "model")];
  try {
    await Deno.mkdir(folder);
    const [n, size] = [3, 40];
    const pixels = someImages(n, size);
    for (let i = 0; i < n; i++) {
      const raw = pixels.slice(i * size * size * 3, (i + 1) * size * size * 3);
      await sharp(raw, { raw: { width: size, height: size, channels: 3 } }).png()
        .toFile(join(folder, `${i}.png`));
    }
    await Deno.writeTextFile(join(folder, "x.png"), "no image");
    const architecture = {
      backbone: "efficientnet_lite0",
      imageSize: 32,
      classes: ["a", "b"],
    } as const;
    const model = createModel({ ...architecture, classes: [...architecture.classes] }, 1);
    const options = { folder, modelFolder, most: 10 };
    const card = await saveModel(modelFolder, model, testCard(model.architecture));
    await assert.rejects(
      measureParity(options),
      (error) => error instanceof ModelError && /model.keras is not there/.test(error.message),
    );

    await saveKeras(modelFolder, model, card);
    const parity = await measureParity(options);
    assert.deepEqual([parity.images, parity.unreadable], [3, 1]);
    assert.ok(parity.difference <= parity.tolerance, `${parity.difference}`);
    assert.equal((await measureParity({ ...options, most: 2 })).images, 2);

    const shifted = model.weights.get("predictions/bias")!;
    model.weights.set("predictions/bias", tf.tensor([0.01, 0]));
    await saveKeras(modelFolder, model, card);
    const apart = await measureParity(options);
    assert.ok(apart.difference > 1e-3 && apart.difference < 3e-3, `${apart.difference}`);
    assert.match(apart.worst, /^[012]\.png$/);

    await saveKeras(modelFolder, model, {
      ...card,
      weights: { ...card.weights, sha256: "1".repeat(64) },
    });
    await assert.rejects(
      measureParity(options),
      (error) => error instanceof ModelError && /belongs to another training/.test(error.message),
    );
    await saveKeras(modelFolder, model, card);
    await Deno.mkdir(join(root, "empty"));
    await assert.rejects(
      measureParity({ ...options, folder: join(root, "empty") }),
      (error) => error instanceof DataError,
    );
    shifted.dispose();
    disposeModel(model);
    assert.equal(tf.memory().numTensors, before);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("parseParityArguments() takes a folder, a run and a number", () => {
  assert.deepEqual(parseParityArguments(["images", "--most", "7", "--run", "r"], "/here"), {
    folder: "/here/images",
    run: "r",
    most: 7,
  });
  assert.equal(parseParityArguments(["--help"], "/here"), null);
  for (
    const args of [[], [""], ["a", "b"], ["a", "--most", "0"], ["a", "--most", "x"], ["--no", "a"]]
  ) {
    assert.throws(() => parseParityArguments(args, "/here"), ConfigError);
  }
});
