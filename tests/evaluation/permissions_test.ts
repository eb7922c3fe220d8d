import assert from "node:assert/strict";
import { join } from "node:path";
import { boundByPermissions } from "../bound_by_permissions.ts";
import { picture, put } from "../data/test_images.ts";
import { evaluateInChild } from "./run_child.ts";
import { csvTexts, evaluate, withNewImages } from "./with_new_images.ts";

const ignore = boundByPermissions === null;

Deno.test({
  name: "evaluateFolder() reports an image that may not be read, and goes on with the others",
  ignore,
  fn: withNewImages(async (folder) => {
    for (const name of ["a.png", "b.png", "c.png"]) {
      await put(folder, name, await picture(1).png().toBuffer());
    }
  }, async (places) => {
    const locked = join(places.folder, "b.png");
    await Deno.chmod(locked, 0o000);
    assert.equal(await evaluateInChild(places, { before: boundByPermissions! }), "finished");
    const errors = await Deno.readTextFile(places.out.replace(".csv", "_errors.csv"));
    assert.equal(errors, "name,error\nb.png,there is no permission to read it.\n");

    await Deno.chmod(locked, 0o644); // the next evaluation reads it, and all is as if it always could
    const after = await evaluate(places);
    const undisturbed = await evaluate({ ...places, out: join(places.root, "undisturbed.csv") });
    assert.deepEqual(await csvTexts(after), await csvTexts(undisturbed));
  }),
});

Deno.test({
  name:
    "evaluateFolder() refuses a folder with a folder in it that may not be read, and results that may not be written",
  ignore,
  fn: withNewImages(async (folder) => {
    await put(folder, "deep/a.png", await picture(1).png().toBuffer());
  }, async (places) => {
    const inner = join(places.folder, "deep");
    await Deno.chmod(inner, 0o000); // its images would be lost in silence
    const before = boundByPermissions!;
    assert.match(await evaluateInChild(places, { before }), /^DataError: .*deep.* cannot be read/);
    await Deno.chmod(inner, 0o755);

    const parent = join(places.root, "results");
    await Deno.mkdir(parent, { mode: 0o555 });
    const refused = await evaluateInChild(places, { before });
    assert.match(refused, /^DataError: .*results cannot be written.*permission to write there/);
    await Deno.chmod(parent, 0o755);
    assert.equal(await evaluateInChild(places, { before }), "finished");
  }),
});
