import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { exists } from "../../lib/core/files.ts";
import { projectRoot } from "../../lib/core/paths.ts";
import { createRandom } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { openWorkFile, shardBatches, type StoredImage } from "../../lib/evaluation/work.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { FLAGS } from "../../lib/model/reference.ts";
import { loadModel, saveModel } from "../../lib/model/saved.ts";
import type { Decision } from "../../lib/run/decision.ts";
import { evaluationFiles } from "../../lib/run/evaluation_files.ts";
import { inFolder, put } from "../data/test_images.ts";
import { runCells } from "../run_cells.ts";
import {
  BAND,
  csvTexts,
  detailsOf,
  evaluate,
  evaluateInChild,
  putImages,
  refuses,
  undisturbed,
  withNewImages,
} from "./with_new_images.ts";

const IDENTITY = { listing: "a", images: 1000, model: "m", shard: { index: 1, count: 1 } };

const PLAIN = { noNullPrototype: true };

const probability = fc.float({ min: 0, max: 1, noNaN: true }).map((p) => p + 0);

const image: fc.Arbitrary<StoredImage> = fc.oneof(
  fc.record({
    probabilities: fc.tuple(probability, probability),
    width: fc.integer({ min: 8, max: 30000 }),
    height: fc.integer({ min: 8, max: 30000 }),
    flags: fc.subarray([...FLAGS]),
  }, PLAIN),
  fc.record({ error: fc.string({ unit: "grapheme" }), retry: fc.constant(false) }, PLAIN),
);

Deno.test("openWorkFile() keeps every batch before the damage of a kill, bit for bit, and none after it", () =>
  inFolder(async (folder) => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.nat(30), { minLength: 1, maxLength: 8 }),
        fc.array(fc.array(image, { minLength: 1, maxLength: 4 }), { minLength: 8, maxLength: 8 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        fc.boolean(),
        async (batches, images, place, cut) => {
          const path = join(folder, `${run++}.work`);
          const ends: number[] = [];
          const work = await openWorkFile(path, IDENTITY);
          for (const [i, batch] of batches.entries()) {
            await work.append(batch, images[i]!);
            ends.push((await Deno.stat(path)).size);
          }
          await work.close();
          const bytes = await Deno.readFile(path);
          const at = Math.floor(place * bytes.length);
          bytes[at]! ^= 4;
          await Deno.writeFile(path, cut ? bytes.subarray(0, at) : bytes);

          const again = await openWorkFile(path, IDENTITY);
          const whole = ends.filter((end) => end <= at).length;
          assert.deepEqual(batches.filter(again.has), batches.slice(0, whole));
          for (const [i, batch] of batches.entries()) {
            if (i >= whole) await again.append(batch, images[i]!);
          }
          for (const [i, batch] of batches.entries()) {
            assert.deepEqual(await again.read(batch), images[i]);
          }
          await again.close();
        },
      ),
      { seed: 3, numRuns: 60 },
    );
  }));

Deno.test("openWorkFile() begins anew where the file is damaged or was left empty by a kill", () =>
  inFolder(async (folder) => {
    for (const [text, restarted] of [["something else\n", "damaged"], ["", null]] as const) {
      await put(folder, "a.work", text);
      for (const [expected, isThere] of [[restarted, false], [null, true]] as const) {
        const work = await openWorkFile(join(folder, "a.work"), IDENTITY);
        assert.deepEqual([work.restarted, work.has(0)], [expected, isThere]);
        if (!isThere) await work.append(0, [{ error: "e", retry: false }]);
        await work.close();
      }
    }
  }));

/** Twelve batches and a bit. */
/** Enough after the last signal for Stop to come through on a busy machine; the list reports from 513. */
const IMAGES = 500;

Deno.test(
  "evaluateFolder() killed, stopped and short of disk goes on, and writes the bytes of an undisturbed run",
  withNewImages((folder) => putImages(folder, IMAGES), async (places) => {
    const expected = await undisturbed(places);
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

    const { model, card } = await loadModel(places.modelFolder);
    const changeBand = async (acceptBand: Decision["acceptBand"]) => {
      const decision = { ...card.decision, acceptBand };
      await saveModel(places.modelFolder, model, { ...card, decision });
    };
    await changeBand({ low: 0.01, high: 0.99, errorRate: 0.001 });
    const stricter = await evaluate(places);
    await changeBand(BAND);
    assert.deepEqual([stricter.resumed, stricter.restarted], [70, null]);
    assert.equal(stricter.imagesPerSecond, null, "nothing was computed");
    assert.deepEqual(
      await detailsOf(stricter),
      rows.map((row) => ({ ...row, decision: row.confidence >= 0.99 ? row.decision : "review" })),
    );

    await Deno.utime(join(places.folder, rows[0]!.name), new Date(), new Date(1e12));
    const touched = await evaluate(places);
    assert.deepEqual([touched.resumed, touched.restarted], [0, "folder"]);
    assert.deepEqual(await csvTexts(touched), await csvTexts(first));

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
    const expected = await undisturbed(places);
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
    const path = "results/evaluation_parts/whole.work";
    await put(places.root, path, "");
    using file = await Deno.open(join(places.root, path), { write: true });
    await file.lock(true);
    await assert.rejects(evaluate(places), /Another evaluation is at work/);
  }),
);

Deno.test("shardBatches() gives every batch to one part, and parts that differ by one batch at most", () => {
  fc.assert(
    fc.property(fc.nat(300), fc.integer({ min: 1, max: 40 }), (batches, count) => {
      const indices = Array.from({ length: count }, (_, i) => i + 1);
      const parts = indices.map((index) => shardBatches(batches, { index, count }));
      const all = parts.flat().sort((a, b) => a - b);
      assert.deepEqual(all, Array.from({ length: batches }, (_, i) => i));
      const lengths = parts.map((part) => part.length);
      assert.ok(Math.max(...lengths) - Math.min(...lengths) <= 1);
    }),
    { seed: 1 },
  );
});

Deno.test(
  "evaluateFolder() joins parts to the bytes of an undivided evaluation, and refuses what does not fit",
  withNewImages((folder) => putImages(folder, 150), async (places) => {
    const whole = await evaluate({ ...places, out: join(places.root, "whole.csv") });
    const parts = join(places.root, "results/evaluation_parts");
    const part = (name: string) => join(parts, `${name}.work`);
    const merged = () => evaluate(places, { merge: true });
    const refused = async (message: RegExp) => {
      await refuses(merged(), message);
      assert.ok(!await exists(places.out));
    };

    await refused(/no part to merge/);
    const third = await evaluate(places, { shard: { index: 3, count: 3 } });
    assert.deepEqual([third.state, third.images], ["part", 150]);
    assert.equal(third.classified + third.unreadable, 32);
    await refused(/Of 3 parts 2 are missing:\s+- --shard 1\/3\s+- --shard 2\/3/);
    for (const index of [1, 2]) await evaluate(places, { shard: { index, count: 3 } });

    const second = await Deno.readFile(part("2_of_3"));
    await put(parts, "2_of_3.work", second.subarray(0, second.length - 9));
    await refused(/Part 2 of 3 is not finished: 1 of 2 batches/);
    await put(parts, "copy of 2.work", second);
    await put(parts, "2_of_3.work", second);
    await refused(/Part 2 of 3 is there 2 times/);
    await Deno.remove(part("2_of_3")); // a copied part counts, whatever its name

    await evaluate(places, { shard: { index: 1, count: 2 } });
    await refused(/do not fit together: (2 parts by one, 3|3 parts by one, 2)/);
    await Deno.remove(part("1_of_2"));
    await put(parts, "4.work", "not a part\n");
    await refused(/4\.work is damaged/);
    await Deno.remove(part("4"));

    const result = await merged();
    assert.equal(result.state, "finished");
    assert.deepEqual(await csvTexts(result), await csvTexts(whole));
    assert.deepEqual(result.classes, whole.classes);

    await Deno.remove(places.out);
    await put(places.folder, "one more.png", "");
    await refused(/of another folder, or of this one before it changed/);
  }),
);

Deno.test(
  "evaluateFolder() stopped in a notebook keeps the kernel, and goes on to the same files",
  withNewImages((folder) => putImages(folder, 400), async (places) => {
    const expected = await undisturbed(places);
    const module = pathToFileURL(join(projectRoot, "lib/evaluation/evaluate.ts")).href;
    const { folder, modelFolder, out } = places;
    const cell = (name: string) => `
      const ${name} = await evaluateFolder({
        ...${JSON.stringify({ folder, modelFolder, out })},
        onProgress: (done) => done % 32 === 0 && console.log("done", done),
      });
      console.log("RETURNED", ${name}.state, ${name}.classified + ${name}.unreadable);`;
    const cells = await runCells([
      { code: `const { evaluateFolder } = await import("${module}");` },
      { code: cell("first"), stop_on: "done 64" },
      { code: `console.log("KEPT", first.state);` },
      { code: cell("second") },
    ]);
    const [, first, kept, second] = cells.map(({ output }) => output);
    const [, done] = /RETURNED stopped (\d+)/.exec(first!) ?? [];
    assert.ok(Number(done) >= 64 && Number(done) < 400, `${first}`);
    assert.match(kept!, /KEPT stopped/);
    assert.match(second!, /RETURNED finished 400/);
    assert.deepEqual(await csvTexts({ files: evaluationFiles(out) }), expected);
  }),
);
