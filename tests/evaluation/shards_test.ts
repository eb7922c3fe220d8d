import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { DataError } from "../../lib/core/errors.ts";
import { exists } from "../../lib/core/files.ts";
import { shardBatches } from "../../lib/evaluation/parts.ts";
import { put } from "../data/test_images.ts";
import { csvTexts, evaluate, putImages, withNewImages } from "./with_new_images.ts";

Deno.test("shardBatches() gives every batch to one part, and parts that differ by one batch at most", () => {
  fc.assert(
    fc.property(fc.nat(300), fc.integer({ min: 1, max: 40 }), (batches, count) => {
      const parts = Array.from(
        { length: count },
        (_, i) => shardBatches(batches, { index: i + 1, count }),
      );
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
      await assert.rejects(merged(), (error: unknown) => {
        assert(error instanceof DataError, String(error));
        assert.match(error.message, message);
        return true;
      });
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
    assert.deepEqual([result.classified, result.unreadable, result.review], [
      whole.classified,
      whole.unreadable,
      whole.review,
    ]);

    await Deno.remove(places.out);
    await put(places.folder, "one more.png", "");
    await refused(/of another folder, or of this one before it changed/);
  }),
);
