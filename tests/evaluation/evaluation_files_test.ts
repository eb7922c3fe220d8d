import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import { exists } from "../../lib/core/files.ts";
import { evaluationFiles } from "../../lib/run/evaluation_files.ts";
import { inFolder, picture, put } from "../data/test_images.ts";
import { evaluate, putImages, saveSmallModel, withNewImages } from "./with_new_images.ts";

Deno.test("evaluationFiles() puts all others beside the main file, whatever its ending", () => {
  assert.deepEqual(evaluationFiles("/a/b.csv"), {
    evaluation: "/a/b.csv",
    details: "/a/b_details.csv",
    groups: "/a/b_groups.csv",
    review: "/a/b_review.csv",
    errors: "/a/b_errors.csv",
    summary: "/a/b_summary.json",
    parts: "/a/b_parts",
  });
  assert.deepEqual(evaluationFiles("/a.csv/b.CSV").details, "/a.csv/b_details.csv");
  assert.deepEqual(evaluationFiles("/a/b").errors, "/a/b_errors.csv");
});

Deno.test("evaluateFolder() writes neither among the images nor over results of another origin", () =>
  inFolder(async (root) => {
    const [folder, modelFolder] = [join(root, "new"), join(root, "model")];
    await put(folder, "deep/a.png", await picture(1).png().toBuffer());
    await put(root, "other/b.png", await picture(2).png().toBuffer());
    await saveSmallModel(modelFolder);
    const places = { root, folder, modelFolder, out: join(root, "out/evaluation.csv") };
    const refused = async (change: Partial<typeof places>, message: RegExp) =>
      await assert.rejects(evaluate({ ...places, ...change }), (error: unknown) => {
        assert(error instanceof DataError, String(error));
        assert.match(error.message, message);
        return true;
      });

    const among = /would be written into the folder of the images/;
    await Deno.symlink(join(folder, "deep"), join(root, "way in"));
    await Deno.symlink(root, join(root, "back"));
    await refused({ out: join(folder, "evaluation.csv") }, among);
    await refused({ out: join(folder, "not/there/yet/evaluation.csv") }, among);
    await refused({ out: join(root, "way in/new folder/evaluation.csv") }, among);
    await refused({ folder: join(root, "back/new"), out: join(folder, "x.csv") }, among);
    const names = await Array.fromAsync(Deno.readDir(folder));
    assert.deepEqual(names.map(({ name }) => name), ["deep"], "nothing is left there");

    await put(root, "out/evaluation.csv", "someone's own");
    await refused({}, /not overwritten: it is there already, and nothing tells where/);
    assert.equal(await Deno.readTextFile(places.out), "someone's own");
    await evaluate(places, { force: true });
    await evaluate(places); // the same folder and model
    await evaluate({ ...places, folder: join(root, "back/new") }); // the same by another way
    const before = await Deno.readTextFile(places.out);
    await refused({ folder: join(root, "other") }, /results of another folder, .*new/);
    await put(root, "out/evaluation_summary.json", "{");
    await refused({}, /nothing tells where/);
    await evaluate(places, { force: true });

    const summary = join(root, "out/evaluation_summary.json");
    const text = await Deno.readTextFile(summary);
    await Deno.writeTextFile(summary, text.replace(/("weights_sha256": ")\w{4}/, "$1beef"));
    await refused({}, /results of another model/);
    assert.equal(await Deno.readTextFile(places.out), before);
  }));

Deno.test(
  "evaluateFolder() leaves a list for review alone that a person has edited in any way",
  withNewImages((folder) => putImages(folder, 12), async (places) => {
    const list = async (number = "") => {
      const path = places.out.replace(".csv", `_review${number}.csv`);
      return await exists(path) ? await Deno.readTextFile(path) : null;
    };
    const { files } = await evaluate(places);
    const first = await list();
    assert.equal((await evaluate(places)).files.review, files.review, "unedited, it is ours");
    const edited = first!.split("\n").toSpliced(1, 1).join("\n"); // a row that needs no look
    await Deno.writeTextFile(files.review, edited);
    const again = await evaluate(places);
    assert.equal(again.files.review, places.out.replace(".csv", "_review_2.csv"));
    assert.equal((await evaluate(places)).files.review, again.files.review);
    assert.deepEqual([await list(), await list("_2"), await list("_3")], [edited, first, null]);

    await Deno.remove(files.summary); // nothing tells any more whose they are
    await Deno.writeTextFile(again.files.review, edited);
    const unknown = await evaluate(places, { force: true });
    assert.equal(unknown.files.review, places.out.replace(".csv", "_review_3.csv"));
  }),
);
