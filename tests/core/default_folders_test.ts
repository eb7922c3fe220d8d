import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { holdsImages } from "../../lib/core/paths.ts";
import type { Config, ConfigInput } from "../../lib/core/settings.ts";
import { inProjectCopy } from "../copy_project.ts";
import { inFolder, put } from "../data/test_images.ts";

const [NEGATIVE, POSITIVE] = parseConfig({}).data.classes as [string, string];

/** Folders and group pattern that a project with just these files ends up with. */
async function chosen(
  files: readonly string[],
  input: ConfigInput = {},
): Promise<[data: string, evaluation: string, groupPattern: string | null]> {
  let result: Config | undefined;
  await inProjectCopy(async ({ root, load }) => {
    for (const file of files) await put(root, file, "");
    type Module = typeof import("../../lib/core/config.ts");
    const { withDefaultFolders } = await load<Module>("lib/core/config.ts");
    result = await withDefaultFolders(parseConfig(input));
  });
  return [result!.data.folder, result!.evaluation.folder, result!.data.groupPattern];
}

const SAMPLE = [`data/sample/${NEGATIVE}/a.png`, "data/sample/new/b.png"];

const OWN = `data/${POSITIVE}/a.png`;

Deno.test("withDefaultFolders() lets the sample set stand in while data/ holds no image", async () => {
  const [folder, others, pattern] = ["data/sample", "data/sample/new", "(slide_\\d+)_"];
  const hidden = [...SAMPLE, `data/${NEGATIVE}/.gitkeep`, "data/x.png"];
  for (const files of [SAMPLE, hidden]) {
    assert.deepEqual(await chosen(files), [folder, others, pattern]);
  }
  const own = { data: { groupPattern: "(.)" } };
  assert.deepEqual(await chosen(SAMPLE, own), [folder, others, "(.)"]);
  const news = await chosen([...SAMPLE, "data/new/c.png"]);
  assert.deepEqual(news, [folder, "data/new", pattern]);
});

Deno.test("withDefaultFolders() takes a person's own images, and them again where none are new", async () => {
  assert.deepEqual(await chosen([...SAMPLE, OWN]), ["data", "data", null]);
  assert.deepEqual(await chosen([...SAMPLE, OWN, "data/new/c.png"]), ["data", "data/new", null]);
});

Deno.test("withDefaultFolders() leaves folders that were chosen as they are", async () => {
  const input = { data: { folder: "/elsewhere" }, evaluation: { folder: "/new" } };
  assert.deepEqual(await chosen(SAMPLE, input), ["/elsewhere", "/new", null]);
  assert.deepEqual(await chosen([]), ["data", "data", null]);
});

Deno.test("holdsImages() looks for labels.csv, and all but hidden files in the class folders", () =>
  inFolder(async (folder) => {
    assert.equal(await holdsImages(folder, ["a", "b"]), false);
    assert.equal(await holdsImages(join(folder, "missing"), ["a", "b"]), false);
    await put(folder, "listed/labels.csv", "path,label\ncrops/1.png,a\n");
    assert.equal(await holdsImages(join(folder, "listed"), ["a", "b"]), true);
    await put(folder, "a/.DS_Store", "");
    await put(folder, "c/x.png", "");
    await put(folder, "b", "a file where a folder is expected");
    assert.equal(await holdsImages(folder, ["a", "b"]), false);
    await put(folder, "a/x.png", "");
    assert.equal(await holdsImages(folder, ["a", "b"]), true);
  }));
