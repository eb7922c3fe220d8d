import assert from "node:assert/strict";
import { join } from "node:path";
import { readLabels } from "../../lib/data/labels.ts";
import { listLabelled } from "../../lib/data/list_labelled.ts";
import { DataError } from "../../lib/errors.ts";
import { inFolder, put } from "./test_images.ts";

const classes = ["non", "sclerotic"];
const config = { classes, groupPattern: null };

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

const labelsOf = async (folder: string) =>
  Object.fromEntries(
    (await listLabelled(folder, config)).listed.map(({ path, label }) => [path, label]),
  );

const failsWith = (run: () => Promise<unknown>, ...patterns: RegExp[]) =>
  assert.rejects(run(), (error: unknown) => {
    assert(error instanceof DataError, String(error));
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  });

Deno.test("readLabels() is null without labels.csv", () =>
  withData([], null, async (folder) => {
    assert.equal(await readLabels(folder, classes), null);
  }));

Deno.test("listLabelled() lets labels.csv overrule class folders and leave images out", () =>
  withData(
    ["non/a.png", "non/b.png", "non/c.png", "sclerotic/d.png"],
    "path,label,predicted,probability,suggested\nnon/a.png,sclerotic,x,0.9,\nnon/b.png,,x,0.5,y\n",
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

Deno.test("listLabelled() takes a whole data set from labels.csv, without class folders", () =>
  withData(
    ["crops/1.png", "crops/2.PNG", "crops/3.png", "4.tif"],
    "\ufeffpath;label;group\r\ncrops\\1.png;non;P1\r\n./crops/2.PNG; sclerotic ;P2\r\n4.tif;non;P1\r\n",
    async (folder) => {
      const { listed, findings } = await listLabelled(folder, config);
      assert.deepEqual(listed, [
        { path: "4.tif", label: "non", group: "P1" },
        { path: "crops/1.png", label: "non", group: "P1" },
        { path: "crops/2.PNG", label: "sclerotic", group: "P2" },
      ]);
      assert.deepEqual(findings.map(({ path, detail }) => [path, detail]), [
        ["crops/", "1 image without a row in labels.csv"],
      ]);
    },
  ));

Deno.test("listLabelled() finds a name in either Unicode form, and names that look like formulas", () => {
  const [composed, decomposed] = ["Ni\u00e8re.png", "Nie\u0300re.png"];
  return withData(
    [`non/${composed}`, "=a.png"],
    `path,label\nnon/${decomposed},non\n'=a.png,sclerotic\n`,
    async (folder) => {
      assert.deepEqual(await labelsOf(folder), {
        [`non/${composed}`]: "non",
        "=a.png": "sclerotic",
      });
    },
  );
});

Deno.test("readLabels() lists every row that cannot be used", () =>
  withData(["non/a.png", "sclerotic/d.png"], null, async (folder) => {
    await inFolder(async (outside) => {
      await put(outside, "secret.png", "");
      await Deno.symlink(outside, join(folder, "link"));
      await put(
        folder,
        "labels.csv",
        [
          "path,label",
          "non/a.png,non",
          "non/gone.png,non",
          "non/a.png,sclerotic",
          "sclerotic/d.png,slcerotic",
          "../secret.png,non",
          "link/secret.png,non",
          "/etc/hosts,non",
          "labels.csv,non",
        ].join("\n"),
      );
      await failsWith(
        () => readLabels(folder, classes),
        /has 7 entries that cannot be used/,
        /row 2, "non\/gone.png": there is no such image/,
        /row 3, "non\/a.png": this image has a row already/,
        /row 4, "sclerotic\/d.png": "slcerotic" is no class/,
        /row 5, "..\/secret.png": there is no such image/,
        /row 6, "link\/secret.png": there is no such image/,
        /row 7, "\/etc\/hosts": there is no such image/,
        /row 8, "labels.csv": there is no such image/,
        /What to do: Write it as path,label/,
      );
    });
  }));

Deno.test("readLabels() shows twenty problems and counts all", () =>
  withData(
    [],
    "path,label\n" + Array.from({ length: 50 }, (_, i) => `${i}.png,non`).join("\n"),
    (folder) => failsWith(() => readLabels(folder, classes), /has 50 entries/, /and 30 more/),
  ));

Deno.test("listLabelled() refuses a class without images, and images without a group", async () => {
  await withData(
    ["a.png"],
    "path,label\na.png,non\n",
    (folder) => failsWith(() => listLabelled(folder, config), /has the label "sclerotic"/),
  );
  await withData(
    ["non/a.png", "sclerotic/b.png"],
    "path,label,group\nnon/a.png,non,P1\n",
    (folder) =>
      failsWith(
        () => listLabelled(folder, config),
        /labels\.csv gives no group to 1 of 2 images:\n {2}- "sclerotic\/b\.png"/,
      ),
  );
});

Deno.test("listLabelled() takes the group from the pattern where labels.csv has none", () =>
  withData(
    ["non/S1_a.png", "sclerotic/S2_b.png"],
    "path,label,group\nnon/S1_a.png,non,P1\n",
    async (folder) => {
      const { listed } = await listLabelled(folder, { classes, groupPattern: "(S\\d)_" });
      assert.deepEqual(listed.map(({ group }) => group), ["P1", "S2"]);
    },
  ));
