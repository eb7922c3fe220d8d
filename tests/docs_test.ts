import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { HOUSE, housePicture, settingsPage } from "../docs/make.ts";
import { exists } from "../lib/core/files.ts";
import { projectRoot } from "../lib/core/paths.ts";

const read = (path: string) => Deno.readTextFile(join(projectRoot, path));

const PAGES = [
  "README.md",
  ...["guide", "settings", "glossary", "house"].map((n) => `docs/${n}.md`),
];

/** A text without its line breaks, which formatting moves. */
const words = (text: string) => text.replace(/\s+/g, " ").trim();

Deno.test("docs/settings.md has every field of the config with its default and meaning", async () => {
  assert.equal(words(await read("docs/settings.md")), words(settingsPage()));
});

Deno.test("README.md is short, and no page has a line that a terminal would wrap badly", async () => {
  assert.ok((await read("README.md")).split("\n").length <= 201);
  for (const page of PAGES) {
    for (const line of (await read(page)).split("\n")) {
      assert.ok([...line].length <= 160, `${page}: ${line}`);
    }
  }
});

Deno.test("the pages refer only to files and tasks that are there", async () => {
  const { tasks } = JSON.parse(await read("deno.json"));
  for (const page of PAGES) {
    const text = await read(page);
    for (const [, target] of text.matchAll(/\]\(((?!https?:)[^)#]+)\)/g)) {
      assert.ok(await exists(join(projectRoot, dirname(page), target!)), `${page}: ${target}`);
    }
    for (const [, task] of text.matchAll(/deno(?:@[\d.]+)? task ([a-z]+)/g)) {
      assert.ok(Object.hasOwn(tasks, task!), `${page}: deno task ${task}`);
    }
  }
});

Deno.test("docs/house.md and its picture show every room and every file of lib/, and no other", async () => {
  const rooms: string[] = [];
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(projectRoot, "lib"))) {
    if (!isDirectory) continue;
    rooms.push(name);
    for await (const file of Deno.readDir(join(projectRoot, "lib", name))) {
      if (file.isFile) files.push(`${name}/${file.name}`);
    }
  }
  const drawn = HOUSE.flat().map(([room]) => room).filter((room) => !room.includes("/"));
  assert.deepEqual(drawn.toSorted(), rooms.toSorted());
  const tags = (svg: string) => svg.replace(/\s+/g, " ").replace(/ ?(<|\/?>) ?/g, "$1");
  assert.equal(tags(await read("docs/house.svg")), tags(housePicture()));
  const page = await read("docs/house.md");
  const named = [...page.matchAll(/`([a-z]+\/\w+\.(?:ts|py))`/g)].map(([, file]) => file!)
    .filter((file) => rooms.includes(file.split("/")[0]!));
  assert.deepEqual(named.toSorted(), files.toSorted());
});
