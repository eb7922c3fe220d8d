import assert from "node:assert/strict";
import fc from "fast-check";
import { pathFinder } from "../../lib/data/labels.ts";

Deno.test("pathFinder() accepts backslashes, ./ and detours inside the folder", () => {
  const find = pathFinder(["non/a.png", "b.png"]);
  for (
    const written of ["non/a.png", "./non/a.png", ".\\non\\a.png", "non//a.png", "x/../non/a.png"]
  ) {
    assert.equal(find(written), "non/a.png", written);
  }
  assert.equal(find("./b.png"), "b.png");
});

Deno.test("pathFinder() finds nothing but its paths: not in other case, and not outside", () => {
  const find = pathFinder(["non/a.png"]);
  for (
    const written of ["", ".", "non", "NON/a.png", "../non/a.png", "/non/a.png", "C:\\non\\a.png"]
  ) {
    assert.equal(find(written), null, written);
  }
});

Deno.test("pathFinder() finds a name in either Unicode form, spelt as it is there", () => {
  const [composed, decomposed] = ["non/Ni\u00e8re.png", "non/Nie\u0300re.png"];
  assert.equal(pathFinder([composed])(decomposed), composed);
  assert.equal(pathFinder([decomposed])(composed), decomposed);
  const both = pathFinder([composed, decomposed]);
  assert.deepEqual([both(composed), both(decomposed)], [composed, decomposed]);
  const twice = "\u00e8e\u0300.png"; // one accent of each kind: which is meant?
  assert.equal(pathFinder([twice.normalize("NFC"), twice.normalize("NFD")])(twice), null);
});

Deno.test("pathFinder() prefers the exact spelling, even of a backslash in a name", () => {
  const find = pathFinder(["a\\b.png", "a/b.png"]);
  assert.deepEqual([find("a\\b.png"), find("a/b.png")], ["a\\b.png", "a/b.png"]);
});

Deno.test("pathFinder() finds every path as it is, and returns nothing that it was not given", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary" })),
      fc.string({ unit: "binary" }),
      (paths, other) => {
        const find = pathFinder(paths);
        for (const path of paths) assert.equal(find(path), path);
        const found = find(other);
        assert(found === null || paths.includes(found));
      },
    ),
    { seed: 1 },
  );
});
