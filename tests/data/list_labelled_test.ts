import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { DataError } from "../../lib/core/errors.ts";
import { listLabelled } from "../../lib/data/labels.ts";
import { scanDataset } from "../../lib/data/scan.ts";
import { usable } from "../../lib/run/manifest.ts";
import { inFolder, picture, put } from "./test_images.ts";

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
      assert.deepEqual(findings.map(({ path, finding, detail }) => [path, finding, detail]), [
        [".", "skipped", "1 image without a label"],
        ["Non", "skipped", "1 image without a label"],
        ["crops", "skipped", "1 image without a label"],
      ]);
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
      await failsWith(() => labelsOf(folder), /row 1, "link\/a.png": there is no such image/);

      await put(outside, "b.png", "");
      await Deno.symlink(join(outside, "b.png"), join(folder, "sclerotic", "b.png"));
      const { listed } = await listLabelled(folder, { ...config, followLinks: true });
      assert.deepEqual(listed.map(({ path, label }) => [path, label]), [
        ["link/a.png", "non"], // by labels.csv
        ["non/a.png", "non"],
        ["non/b.png", "non"],
        ["sclerotic/b.png", "sclerotic"],
        ["sclerotic/d.png", "sclerotic"],
      ]);
    });
  }));

Deno.test("listLabelled() refuses classes without images, and images without a group", async () => {
  await withData(
    ["a.png"],
    "path,label\na.png,\n",
    (folder) => failsWith(() => listLabelled(folder, config), /has the label "non" or "sclerotic"/),
  );
  await withData(
    ["non/a.png", "sclerotic/b.png", "sclerotic/c.png"],
    "path,label,group\nnon/a.png,non,P1\nsclerotic/c.png,,\n",
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
      const { listed } = await listLabelled(folder, { ...config, groupPattern: "(S\\d)_" });
      assert.deepEqual(listed.map(({ group }) => group), ["P1", "S2"]);
    },
  ));

Deno.test("scanDataset() keeps what labels.csv leaves out in the manifest, unused, with the reason", () =>
  inFolder(async (folder) => {
    for (let i = 0; i < 6; i++) {
      await put(folder, `${classes[i % 2]}/${i}.png`, await picture(i).png().toBuffer());
    }
    // a copy of what is left out: neither a duplicate of it nor in conflict with its label
    await put(folder, "sclerotic/copy.png", await picture(0).png().toBuffer());
    await put(folder, "labels.csv", "path,label\nnon/0.png,\n");
    const { data } = parseConfig({ data: { classes } });
    const { rows, findings } = await scanDataset(folder, data);
    assert.equal(usable(rows).length, 6);
    assert.deepEqual(new Set(usable(rows).map(({ label }) => label)), new Set(classes));
    const [left] = rows;
    assert.deepEqual([left!.path, left!.label], ["non/0.png", ""]);
    assert.match(left!.status, /empty label in labels\.csv/);
    assert.deepEqual(findings.map(({ path, finding }) => [path, finding]), [
      ["non/0.png", "left_out_by_labels"],
    ]);
  }));
