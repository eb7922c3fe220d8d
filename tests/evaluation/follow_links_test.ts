import assert from "node:assert/strict";
import { join } from "node:path";
import { readCsv } from "../../lib/core/csv.ts";
import { DataError } from "../../lib/core/errors.ts";
import { picture, put } from "../data/test_images.ts";
import { evaluate, type Places, withNewImages } from "./with_new_images.ts";

/** Two images in the folder's own tree, three behind links, one link that leads nowhere. */
async function linkImages(folder: string): Promise<void> {
  const image = (seed: number) => picture(seed, 40, 36).png().toBuffer();
  for (const [seed, path] of ["a.png", "b/b.png"].entries()) {
    await put(folder, path, await image(seed));
  }
  const store = join(folder, "..", "store");
  for (const [seed, path] of ["S1/c.png", "S1/d.png", "e.png"].entries()) {
    await put(store, path, await image(10 + seed));
  }
  await Deno.symlink(join(store, "S1"), join(folder, "S1"));
  await Deno.symlink(join(store, "e.png"), join(folder, "e.png"));
  await Deno.symlink(join(store, "gone.png"), join(folder, "gone.png"));
  await Deno.symlink("..", join(folder, "b", "loop"));
}

const namesIn = async (places: Places, ending = "") =>
  (await readCsv(places.out.replace(".csv", `${ending}.csv`), ["name"], "")).map(({ name }) =>
    name
  );

Deno.test(
  "evaluateFolder() follows links when asked alone, and counts those it does not follow",
  withNewImages(linkImages, async (places) => {
    const own = await evaluate(places);
    assert.deepEqual(await namesIn(places), ["a.png", "b/b.png"]);
    assert.equal(own.skipped.links, 4);

    const followed = await evaluate(places, { followLinks: true });
    assert.deepEqual(await namesIn(places), ["S1/c.png", "S1/d.png", "a.png", "b/b.png", "e.png"]);
    assert.deepEqual(followed.errors, [{
      name: "gone.png",
      error: "the file is not there (any more).",
    }]);
    assert.equal(followed.skipped.links, 1);

    const inStore = join(places.root, "store", "S1", "evaluation.csv");
    await assert.rejects(
      evaluate({ ...places, out: inStore }, { followLinks: true }),
      (error) =>
        error instanceof DataError && /written into the folder of the im/.test(error.message),
    );
    await evaluate({ ...places, out: inStore }); // no link leads there now
  }),
);

Deno.test(
  "evaluateFolder() evaluates anew when what a followed link leads to has changed",
  withNewImages(linkImages, async (places) => {
    const options = { followLinks: true, shard: { index: 1, count: 1 } };
    await evaluate(places, options);
    await put(places.root, "store/e.png", await picture(3, 44, 40).png().toBuffer());
    const again = await evaluate(places, options);
    assert.deepEqual([again.restarted, again.resumed], ["folder", 0]);
  }),
);

Deno.test(
  "evaluateFolder() says how links are followed where a folder holds nothing else",
  withNewImages(async (folder) => {
    await put(folder, "../store/a.png", await picture(1).png().toBuffer());
    await Deno.symlink("../store/a.png", join(folder, "a.png"));
  }, async (places) => {
    await assert.rejects(
      evaluate(places),
      /no image in .*\(1 link not looked at\).*--follow-links/s,
    );
    assert.equal((await evaluate(places, { followLinks: true })).classified, 1);
  }),
);
