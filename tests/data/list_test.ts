import fc from "fast-check";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import { createRandom } from "../../lib/core/random.ts";
import { compareCodePoints } from "../../lib/core/words.ts";
import { listImages, sortCodePoints } from "../../lib/data/list.ts";
import { inFolder, put } from "./test_images.ts";

Deno.test("listImages() finds images at any depth, in code-point order", () =>
  inFolder(async (folder) => {
    const sorted = "Z.webp a.tif a/b/c.TIFF a/z.Jpeg a/é.bmp b.PNG ﬀ.png 😀.jpg".split(" ");
    for (const name of sorted.toReversed()) await put(folder, name, "");
    assert.deepEqual((await listImages(folder)).paths, sorted);
  }));

Deno.test("listImages() keeps hostile names as they are", () =>
  inFolder(async (folder) => {
    const names = ['"quoted",comma', "'; DROP", "<script>alert(1)<", "=cmd()|' '!A0", "line\nbreak"]
      .map((name) => `${name}.png`);
    for (const name of names) await put(folder, name, "");
    assert.deepEqual((await listImages(folder)).paths, names.sort(compareCodePoints));
  }));

Deno.test("listImages() passes over hidden files, links and other types, and counts them", () =>
  inFolder(async (folder) => {
    for (const name of ["a.png", "._a.png", ".cache/b.png", "Thumbs.db", "notes.txt", "scan.svs"]) {
      await put(folder, `in/${name}`, "");
    }
    await put(folder, "out/secret.png", "");
    await Deno.symlink(join(folder, "in"), join(folder, "in/loop"));
    await Deno.symlink(join(folder, "out"), join(folder, "in/out"));
    await Deno.symlink(join(folder, "out/secret.png"), join(folder, "in/link.png"));
    await Deno.symlink("nowhere.png", join(folder, "in/dangling.png"));
    const { paths, skipped } = await listImages(join(folder, "in"));
    assert.deepEqual(paths, ["a.png"]);
    assert.deepEqual(skipped, { hidden: 3, links: 4, otherType: 2 });

    await Deno.symlink(join(folder, "in"), join(folder, "data")); // the folder itself may be a link
    assert.deepEqual((await listImages(join(folder, "data"))).paths, ["a.png"]);
  }));

Deno.test("listImages() follows links when asked, into every folder once", () =>
  inFolder(async (folder) => {
    const files = "in/real/a.png in/.store/stored.png out/b.png out/deep/c.png elsewhere/d.png";
    for (const path of files.split(" ")) await put(folder, path, "");
    const link = (target: string, path: string) =>
      Deno.symlink(join(folder, target), join(folder, path));
    await link("in/real", "in/again"); // is listed under its own name
    await link("in/real/a.png", "in/a_again.png");
    await link("in/.store/stored.png", "in/stored.png"); // in a hidden folder: is not
    await link("out", "in/out");
    await link("out/deep", "in/a_part_of_out"); // sorts first, so that out/deep is entered here
    await link("in", "in/loop");
    await link(".", "in/around");
    await link("out/deep", "out/deep/loop");
    await link("in/real", "out/back");
    await link("elsewhere/d.png", "in/one.png");
    await Deno.symlink("nowhere.png", join(folder, "in/dangling.png"));
    await Deno.symlink("self.png", join(folder, "in/self.png"));
    await Deno.symlink("/dev/zero", join(folder, "in/endless.png"));
    const { paths, skipped, outside } = await listImages(join(folder, "in"), { followLinks: true });
    assert.deepEqual(paths, [
      ...["a_part_of_out/c.png", "dangling.png", "one.png", "out/b.png", "real/a.png", "self.png"],
      "stored.png",
    ]);
    // again, a_again.png, loop, around, out/deep/loop, out/back, out/deep and endless.png
    assert.deepEqual(skipped, { hidden: 1, links: 8, otherType: 0 });
    const home = await Deno.realPath(folder);
    assert.deepEqual(outside, [join(home, "out/deep"), join(home, "out")]);
  }));

Deno.test("listImages() is not blown up by links to links to links", () =>
  inFolder(async (folder) => {
    for (let level = 0; level < 40; level++) {
      await put(folder, `out/${level}/${level}.png`, "");
      for (const name of ["a", "b"]) {
        await Deno.symlink(join(folder, `out/${level + 1}`), join(folder, `out/${level}/${name}`));
      }
    }
    await Deno.mkdir(join(folder, "in"));
    await Deno.symlink(join(folder, "out/0"), join(folder, "in/start")); // 2 to the 40th paths
    const { paths } = await listImages(join(folder, "in"), { followLinks: true });
    assert.equal(paths.length, 40);
  }));

Deno.test("listImages() throws on a missing folder, and on a file, following links or not", async () => {
  for (const followLinks of [false, true]) {
    const list = (folder: string) => listImages(folder, { followLinks });
    await assert.rejects(list(import.meta.filename!), /test\.ts" is a file, and the folder/);
    const message = /"\/no\/such\/folder" is not there/;
    await assert.rejects(list("/no/such/folder"), { name: DataError.name, message });
  }
});

Deno.test("listImages() sorts whole paths, folders and files mixed", async () => {
  const name = fc.string({
    unit: fc.constantFrom("a", ".", "!", "0", "😀", "\ue000"),
    minLength: 1,
    maxLength: 2,
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.array(name, { maxLength: 2 }), name), { maxLength: 12 }),
      (parts) =>
        inFolder(async (folder) => {
          const names = new Set(parts.map(([folders, file]) =>
            [...folders.map((part) => `x${part}`), `x${file}.png`].join("/")
          ));
          for (const path of names) {
            await put(folder, path, "");
          }
          const sorted = [...names].sort(compareCodePoints);
          assert.deepEqual((await listImages(folder)).paths, sorted);
        }),
    ),
    { seed: 4, numRuns: 40 },
  );
});

Deno.test("sortCodePoints() sorts as one sort would, however many there are", async () => {
  const random = createRandom("names");
  for (const letters of ["ab./", "a\ue000😀"]) {
    const characters = [...letters];
    for (const count of [0, 1, 8192, 8193, 30000]) {
      const letter = () => characters[random.integer(characters.length)];
      const texts = Array.from({ length: count }, () => Array.from(Array(6), letter).join(""));
      assert.deepEqual(await sortCodePoints(texts), texts.toSorted(compareCodePoints));
    }
  }
});

Deno.test("compareCodePoints() orders as UTF-8 bytes do", () => {
  const texts = ",a,ab,Z,é,\ud7ff,\ue000,\uffff,😀,😁,a😀,a\uffff".split(",");
  const bytes = (text: string) => new TextEncoder().encode(text);
  for (const a of texts) {
    for (const b of texts) {
      const expected = Math.sign(Buffer.compare(bytes(a), bytes(b)));
      assert.equal(Math.sign(compareCodePoints(a, b)), expected, JSON.stringify([a, b]));
    }
  }
});
