import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import { exists } from "../../lib/core/files.ts";
import { groupOf, listLabelled, pathFinder, readLabels } from "../../lib/data/labels.ts";
import { inFolder, put } from "./test_images.ts";

const classes = ["non", "sclerotic"];

const config = { classes, groupPattern: null, followLinks: false };

/** A data folder with these (empty) image files and this labels.csv. */
const withData = (
  paths: readonly string[],
  labels: string | null,
  test: (folder: string) => Promise<void>,
) =>
  inFolder(async (folder) => {
    for (const path of paths) await put(folder, path, "");
    if (labels !== null) await put(folder, "labels.csv", labels);
    await test(folder);
  });

const labelsOf = async (folder: string, followLinks = false) => {
  const { listed } = await listLabelled(folder, { ...config, followLinks });
  return Object.fromEntries(listed.map(({ path, label }) => [path, label]));
};

/** What a labels.csv of this text says about these images. */
async function read(text: string, images: readonly string[], names = classes) {
  let labels: Awaited<ReturnType<typeof readLabels>> = [];
  await withData([], text, async (folder) => {
    labels = await readLabels(join(folder, "labels.csv"), images, names);
  });
  return labels;
}

const failsWith = (run: Promise<unknown>, ...patterns: RegExp[]) =>
  assert.rejects(run, (error: unknown) => {
    assert(error instanceof DataError, String(error));
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  });

Deno.test("listLabelled() takes labels from the class folders where there is no labels.csv", () =>
  withData(["non/a.png", "sclerotic/b.png", "new/c.png"], null, async (folder) => {
    assert.deepEqual(await listLabelled(folder, config), {
      listed: [
        { path: "non/a.png", label: "non", group: "non/a.png" },
        { path: "sclerotic/b.png", label: "sclerotic", group: "sclerotic/b.png" },
      ],
      findings: [],
    });
  }));

Deno.test("listLabelled() explains folders that cannot be used", () =>
  withData([], null, async (folder) => {
    const names = ["non_sclerotic", "sclerotic"];
    const rejects = (message: RegExp) =>
      failsWith(listLabelled(folder, { ...config, classes: names }), message);
    await failsWith(listLabelled(join(folder, "none"), config), /cannot be read/);
    await rejects(/lacks the class folders "non_sclerotic" and "sclerotic". It holds no other/);
    await put(folder, "non_sclerotic/a.png", "");
    await put(folder, "Sclerotic/a.png", "");
    await rejects(/lacks the class folder "sclerotic". It holds "Sclerotic"/);
    await put(folder, "sclerotic/notes.txt", "");
    if (await exists(join(folder, "SCLEROTIC"))) return; // a file system that ignores case
    for (const name of ["Sclerotic", "sclerotc", "sklerotik"]) {
      await Deno.rename(join(folder, "Sclerotic"), join(folder, name));
      await rejects(new RegExp(`"${name}" .* misspelt name`));
      await Deno.rename(join(folder, name), join(folder, "Sclerotic"));
    }
    await Deno.rename(join(folder, "Sclerotic"), join(folder, "sclerosed")); // three letters differ
    await rejects(/holds no images \(1 file of another type not looked at\)/);
  }));

Deno.test("listLabelled() lets labels.csv overrule class folders and leave images out", () =>
  withData(
    ["non/a.png", "non/b.png", "non/c.png", "sclerotic/d.png"],
    "path,label\nnon/a.png,sclerotic\nnon/b.png,\n",
    async (folder) => {
      assert.deepEqual(await labelsOf(folder), {
        "non/a.png": "sclerotic",
        "non/b.png": "",
        "non/c.png": "non",
        "sclerotic/d.png": "sclerotic",
      });
      const { findings } = await listLabelled(folder, config);
      assert.deepEqual(findings.map(({ path, finding }) => [path, finding]), [
        ["non/b.png", "left_out_by_labels"],
      ]);
    },
  ));

Deno.test("listLabelled() takes a whole data set from labels.csv, and reports images without a row", () =>
  withData(
    ["crops/1.png", "crops/deep/2.png", "crops/3.png", "4.tif", "5.tif", "Non/6.png"],
    "path,label,group\ncrops/1.png,non,P1\ncrops/deep/2.png,sclerotic,P2\n4.tif,non,P1\n",
    async (folder) => {
      const { listed, findings } = await listLabelled(folder, config);
      assert.deepEqual(listed, [
        { path: "4.tif", label: "non", group: "P1" },
        { path: "crops/1.png", label: "non", group: "P1" },
        { path: "crops/deep/2.png", label: "sclerotic", group: "P2" },
      ]);
      assert.deepEqual(
        findings.map(({ path, finding, detail }) => [path, finding, detail]),
        [".", "Non", "crops"].map((name) => [name, "skipped", "1 image without a label"]),
      );
    },
  ));

Deno.test("listLabelled() finds images in a class folder that is a link, and follows others when asked", () =>
  inFolder(async (outside) => {
    await put(outside, "a.png", "");
    await withData(["sclerotic/d.png"], "path,label\nnon/a.png,non\n", async (folder) => {
      await Deno.symlink(outside, join(folder, "non"));
      assert.deepEqual(await labelsOf(folder), {
        "non/a.png": "non",
        "sclerotic/d.png": "sclerotic",
      });
      await Deno.symlink(outside, join(folder, "link"));
      await put(folder, "labels.csv", "path,label\nlink/a.png,non\n");
      await failsWith(labelsOf(folder), /row 1, "link\/a.png": there is no such image/);

      await put(outside, "b.png", "");
      await Deno.symlink(join(outside, "b.png"), join(folder, "sclerotic", "b.png"));
      assert.deepEqual(await labelsOf(folder, true), {
        "link/a.png": "non", // by labels.csv
        "non/a.png": "non",
        "non/b.png": "non",
        "sclerotic/b.png": "sclerotic",
        "sclerotic/d.png": "sclerotic",
      });
    });
  }));

Deno.test("listLabelled() refuses classes without images, and images without a group", async () => {
  await withData(
    ["a.png"],
    "path,label\na.png,\n",
    (folder) => failsWith(listLabelled(folder, config), /has the label "non" or "sclerotic"/),
  );
  await withData(
    ["non/a.png", "sclerotic/b.png", "sclerotic/c.png"],
    "path,label,group\nnon/a.png,non,P1\nsclerotic/c.png,,\n",
    (folder) =>
      failsWith(
        listLabelled(folder, config),
        /labels\.csv gives no group to 1 of 2 images:\n {2}- "sclerotic\/b\.png"/,
      ),
  );
});

Deno.test("listLabelled() takes the group from the pattern where labels.csv has none", () =>
  withData(
    ["non/S1_a.png", "sclerotic/S2_b.png"],
    "path,label,group\nnon/S1_a.png,non,P1\n",
    async (folder) => {
      const { listed } = await listLabelled(folder, { ...config, groupPattern: "(S\\d)_" });
      assert.deepEqual(listed.map(({ group }) => group), ["P1", "S2"]);
    },
  ));

Deno.test("groupOf() takes the first capturing group, or the path without a pattern", async () => {
  const groupPattern = "([^/]+)-[^-]+\\.png$";
  assert.equal(groupOf("non/SAS_1-a-07.png", groupPattern), "SAS_1-a");
  assert.equal(groupOf("non/SAS_1-07.png", null), "non/SAS_1-07.png");
  assert.equal(groupOf("non/other.png", groupPattern), null);
  assert.equal(groupOf("non/x.png", "(z)?x"), null);
  const odd = Array.from({ length: 28 }, (_, i) => `non/odd${String(i).padStart(2, "0")}.png`);
  await withData(["sclerotic/S1-1.png", ...odd], null, (folder) =>
    failsWith(
      listLabelled(folder, { ...config, groupPattern }),
      /no group in 28 of 29 image paths[^]*odd00.*\n.*odd01[^]*odd19.*\n.* and 8 more/,
    ));
});

const [COMPOSED, DECOMPOSED] = ["scl\u00e9rose globale", "scle\u0301rose globale"];

const HOSTILE = '=cmd()|"a,\nb".png';

const READABLE: Record<string, [text: string, labels: [string, string | null, string?][]]> = {
  "what Excel writes: a BOM, semicolons, \\r\\n, empty rows at the end": [
    "\ufeffpath;label;group\r\ncrops\\1.png;non;P1\r\n./crops/2.PNG; sclerotic ;\r\n;;\r\n;;\r\n",
    [["crops/1.png", "non", "P1"], ["crops/2.PNG", "sclerotic"]],
  ],
  "further columns and empty labels": [
    "path,label,predicted,suggested\na.png,sclerotic,non,\nb.png,,non,non\n",
    [["a.png", "sclerotic"], ["b.png", null]],
  ],
  "names that look like formulas, and hold quotes and line breaks": [
    `label,path\nnon,"'=cmd()|""a,\nb"".png"\n`,
    [[HOSTILE, "non"]],
  ],
  "labels in any Unicode form, of any number of classes": [
    `path,label\na.png,${DECOMPOSED}\nb.png,non\n`,
    [["a.png", COMPOSED], ["b.png", "non"]],
  ],
};

for (const [what, [text, labels]] of Object.entries(READABLE)) {
  Deno.test(`readLabels() reads ${what}`, async () => {
    const expected = labels.map(([path, label, group = null]) => ({ path, label, group }));
    const paths = labels.map(([path]) => path);
    assert.deepEqual(await read(text, paths, [...classes, COMPOSED]), expected);
  });
}

Deno.test("readLabels() lists every row that cannot be used, the first twenty in words", async () => {
  const rows: [path: string, label: string, problem: string][] = [
    ["non/gone.png", "non", "there is no such image"],
    ["non/a.png", "sclerotic", "this image has a row already"],
    ["sclerotic/d.png", "slcerotic", '"slcerotic" is no class'],
    ...["../secret.png", "/etc/hosts", "labels.csv", ""].map((path) =>
      [path, "non", "there is no such image"] as [string, string, string]
    ),
  ];
  await failsWith(
    read(
      ["path,label", "non/a.png,non", ...rows.map((row) => row.slice(0, 2).join())].join("\n"),
      ["non/a.png", "sclerotic/d.png"],
    ),
    /labels\.csv" has 7 problems, and cannot be used/,
    ...rows.map(([path, _, problem], i) => new RegExp(`row ${i + 2}, "${path}": ${problem}`)),
    /What to do: Write it as path,label[^]*"non", "sclerotic", or empty/,
  );
  const many = "path,label\n" + Array.from({ length: 50 }, (_, i) => `${i}.png,non`).join("\n");
  await failsWith(read(many, []), /has 50 problems/, /row 20, [^]* and 30 more/);
});

Deno.test("readLabels() names the columns that are missing, and a file that is no CSV", async () => {
  await failsWith(read("path;class\na.png;non\n", ["a.png"]), /lacks the column\(s\) label/);
  await failsWith(read("", []), /lacks the column\(s\) path, label/);
  await failsWith(read('path,label\n"a.png,non\n', ["a.png"]), /cannot be read as CSV/);
});

Deno.test("pathFinder() accepts backslashes, ./ and detours inside the folder, and nothing outside", () => {
  const find = pathFinder(["non/a.png", "b.png"]);
  const same = ["non/a.png", "./non/a.png", ".\\non\\a.png", "non//a.png", "x/../non/a.png"];
  for (const written of same) assert.equal(find(written), "non/a.png", written);
  assert.equal(find("./b.png"), "b.png");
  const none = ["", ".", "non", "NON/a.png", "../non/a.png", "/non/a.png", "C:\\non\\a.png"];
  for (const written of none) assert.equal(find(written), null, written);
});

Deno.test("pathFinder() finds a name in either Unicode form, and prefers the exact spelling", () => {
  const [composed, decomposed] = ["non/Ni\u00e8re.png", "non/Nie\u0300re.png"];
  assert.equal(pathFinder([composed])(decomposed), composed);
  assert.equal(pathFinder([decomposed])(composed), decomposed);
  for (const both of [[composed, decomposed], ["a\\b.png", "a/b.png"]]) {
    assert.deepEqual(both.map(pathFinder(both)), both);
  }
  const twice = "\u00e8e\u0300.png"; // one accent of each kind: which is meant?
  assert.equal(pathFinder([twice.normalize("NFC"), twice.normalize("NFD")])(twice), null);
});

Deno.test("pathFinder() finds every path as it is, and returns nothing that it was not given", () => {
  const text = fc.string({ unit: "binary" });
  fc.assert(
    fc.property(fc.array(text), text, (paths, other) => {
      const find = pathFinder(paths);
      assert.deepEqual(paths.map(find), paths);
      const found = find(other);
      assert(found === null || paths.includes(found));
    }),
    { seed: 1 },
  );
});
