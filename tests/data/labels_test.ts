import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import { readLabels } from "../../lib/data/labels.ts";
import { inFolder, put } from "./test_images.ts";

const classes = ["non", "sclerotic"];

/** What a labels.csv of this text says about these images. */
async function read(text: string, images: readonly string[], names = classes) {
  let labels: Awaited<ReturnType<typeof readLabels>> = [];
  await inFolder(async (folder) => {
    await put(folder, "labels.csv", text);
    labels = await readLabels(join(folder, "labels.csv"), images, names);
  });
  return labels;
}

const failsWith = (run: () => Promise<unknown>, ...patterns: RegExp[]) =>
  assert.rejects(run(), (error: unknown) => {
    assert(error instanceof DataError, String(error));
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  });

Deno.test("readLabels() reads what Excel writes: a BOM, semicolons, \\r\\n, empty rows at the end", async () => {
  assert.deepEqual(
    await read(
      "\ufeffpath;label;group\r\ncrops\\1.png;non;P1\r\n./crops/2.PNG; sclerotic ;\r\n;;\r\n;;\r\n",
      ["crops/1.png", "crops/2.PNG"],
    ),
    [
      { path: "crops/1.png", label: "non", group: "P1" },
      { path: "crops/2.PNG", label: "sclerotic", group: null },
    ],
  );
});

Deno.test("readLabels() ignores further columns, and reads an empty label as leaving out", async () => {
  assert.deepEqual(
    await read(
      "path,label,predicted,probability,suggested\na.png,sclerotic,non,0.4,\nb.png,,non,0.5,non\n",
      ["a.png", "b.png"],
    ),
    [
      { path: "a.png", label: "sclerotic", group: null },
      { path: "b.png", label: null, group: null },
    ],
  );
});

Deno.test("readLabels() reads names that look like formulas, and hold quotes and line breaks", async () => {
  const hostile = '=cmd()|"a,\nb".png';
  assert.deepEqual(
    (await read(`label,path\nnon,"'=cmd()|""a,\nb"".png"\n`, [hostile])).map(({ path }) => path),
    [hostile],
  );
});

Deno.test("readLabels() compares labels in any Unicode form, and takes any number of classes", async () => {
  const names = ["normal", "scl\u00e9rose segmentaire", "scl\u00e9rose globale"];
  const labels = await read("path,label\na.png,scle\u0301rose globale\nb.png,normal\n", [
    "a.png",
    "b.png",
  ], names);
  assert.deepEqual(labels.map(({ label }) => label), [names[2], names[0]]);
});

Deno.test("readLabels() lists every row that cannot be used", () =>
  failsWith(
    () =>
      read(
        [
          "path,label",
          "non/a.png,non",
          "non/gone.png,non",
          "non/a.png,sclerotic",
          "sclerotic/d.png,slcerotic",
          "../secret.png,non",
          "/etc/hosts,non",
          "labels.csv,",
          ",non",
        ].join("\n"),
        ["non/a.png", "sclerotic/d.png"],
      ),
    /labels\.csv" has 7 problems, and cannot be used/,
    /row 2, "non\/gone.png": there is no such image/,
    /row 3, "non\/a.png": this image has a row already/,
    /row 4, "sclerotic\/d.png": "slcerotic" is no class/,
    /row 5, "..\/secret.png": there is no such image/,
    /row 6, "\/etc\/hosts": there is no such image/,
    /row 7, "labels.csv": there is no such image/,
    /row 8, "": there is no such image/,
    /What to do: Write it as path,label[^]*"non", "sclerotic", or empty/,
  ));

Deno.test("readLabels() shows twenty problems and counts all", () => {
  const text = "path,label\n" + Array.from({ length: 50 }, (_, i) => `${i}.png,non`).join("\n");
  return failsWith(() => read(text, []), /has 50 problems/, /row 20, [^]* and 30 more/);
});

Deno.test("readLabels() names the columns that are missing, and a file that is no CSV", async () => {
  await failsWith(() => read("path;class\na.png;non\n", ["a.png"]), /lacks the column\(s\) label/);
  await failsWith(() => read("", []), /lacks the column\(s\) path, label/);
  await failsWith(() => read('path,label\n"a.png,non\n', ["a.png"]), /cannot be read as CSV/);
});
