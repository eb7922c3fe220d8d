import assert from "node:assert/strict";
import { join } from "node:path";
import { exists } from "../../lib/core/files.ts";
import { createRandom } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { loadModel, saveModel } from "../../lib/model/saved.ts";
import type { Decision } from "../../lib/run/model_card.ts";
import { put } from "../data/test_images.ts";
import { evaluateInChild } from "./run_child.ts";
import {
  BAND,
  csvTexts,
  detailsOf,
  evaluate,
  putImages,
  withNewImages,
} from "./with_new_images.ts";

/** Twelve batches and a bit. */
const IMAGES = 390;

Deno.test(
  "evaluateFolder() killed, stopped and short of disk goes on, and writes the bytes of an undisturbed run",
  withNewImages((folder) => putImages(folder, IMAGES), async (places) => {
    const expected = await csvTexts(
      await evaluate({ ...places, out: join(places.root, "undisturbed.csv") }),
    );
    const full = await evaluateInChild(places, { fileBlocks: 8 });
    assert.match(full, /^DataError: .*The results cannot be written.* goes on where it ended/);
    const random = createRandom("kill");
    // ten moments, of which some fall into work that was done before and is then at once over
    const kills = Array.from({ length: 10 }, () => 1 + random.integer(290)).sort((a, b) => a - b);
    for (const at of kills) {
      const last = await evaluateInChild(places, { signal: { name: "SIGKILL", at } });
      assert.match(last, /^\d+$/, "it was killed while at work");
      assert.ok(!await exists(places.out), "nothing that could be taken for a result");
    }
    assert.equal(await evaluateInChild(places, { signal: { name: "SIGINT", at: 300 } }), "stopped");
    assert.ok(!await exists(places.out));

    const resumed = await evaluate(places);
    assert.equal(resumed.state, "finished");
    assert.equal(resumed.restarted, null);
    assert.ok(resumed.resumed > 300 && resumed.resumed % 32 === 0, `${resumed.resumed}`);
    assert.deepEqual(await csvTexts(resumed), expected);
  }),
);

Deno.test(
  "evaluateFolder() judges what it has computed before anew, and computes anew what has changed",
  withNewImages((folder) => putImages(folder, 70), async (places) => {
    const first = await evaluate(places);
    assert.deepEqual([first.resumed, first.restarted], [0, null]);
    const rows = await detailsOf(first);

    const strict = { low: 0.01, high: 0.99, errorRate: 0.001 };
    const changeBand = async (acceptBand: Decision["acceptBand"]) => {
      const { model, card } = await loadModel(places.modelFolder);
      const decision = { ...card.decision, acceptBand };
      await saveModel(places.modelFolder, model, { ...card, decision });
      disposeModel(model);
    };
    await changeBand(strict);
    const stricter = await evaluate(places);
    await changeBand(BAND);
    assert.deepEqual([stricter.resumed, stricter.restarted], [70, null]);
    assert.equal(stricter.imagesPerSecond, null, "nothing was computed");
    assert.deepEqual(
      await detailsOf(stricter),
      rows.map((row) => ({ ...row, decision: row.confidence >= 0.99 ? row.decision : "review" })),
    );

    const [name] = rows.map((row) => row.name);
    await Deno.utime(join(places.folder, name!), new Date(), new Date(1e12));
    const touched = await evaluate(places);
    assert.deepEqual([touched.resumed, touched.restarted], [0, "folder"]);
    assert.deepEqual(await csvTexts(touched), await csvTexts(first));

    const { model, card } = await loadModel(places.modelFolder);
    model.weights.get("predictions/bias")!.dispose();
    model.weights.set("predictions/bias", tf.tensor([0.3, 0]));
    await saveModel(places.modelFolder, model, card);
    disposeModel(model);
    const other = await evaluate(places, { force: true });
    assert.deepEqual([other.resumed, other.restarted], [0, "model"]);
    assert.notDeepEqual(await detailsOf(other), rows);
  }),
);

Deno.test(
  "evaluateFolder() tries again where a file could not be reached, and only there",
  withNewImages((folder) => putImages(folder, 300), async (places) => {
    const [gone, aside] = [join(places.folder, "slide_4/0299.png"), join(places.root, "aside")];
    const expected = await csvTexts(
      await evaluate({ ...places, out: join(places.root, "undisturbed.csv") }),
    );
    const without = await evaluate(places, {
      onProgress: (done) => {
        if (done === 1) Deno.renameSync(gone, aside); // long before its turn
      },
    });
    const error = "the file is not there (any more).";
    assert.deepEqual(without.errors.at(-1), { name: "slide_4/0299.png", error });
    await Deno.rename(aside, gone);
    const again = await evaluate(places);
    assert.equal(again.resumed, 288, "but for the last batch");
    assert.deepEqual(await csvTexts(again), expected);
  }),
);

Deno.test(
  "evaluateFolder() leaves alone a work file that another evaluation is at work on",
  withNewImages((folder) => putImages(folder, 3), async (places) => {
    await put(places.root, "results/evaluation_parts/whole.work", "");
    using file = await Deno.open(
      join(places.root, "results/evaluation_parts/whole.work"),
      { write: true },
    );
    await file.lock(true);
    await assert.rejects(evaluate(places), /Another evaluation is at work/);
  }),
);
