import assert from "node:assert/strict";
import { join } from "node:path";
import { configTable } from "../docs/make.ts";
import { exists } from "../lib/core/files.ts";
import { projectRoot } from "../lib/core/paths.ts";

const readme = await Deno.readTextFile(join(projectRoot, "README.md"));

/** A Markdown table without the blanks that align its columns. */
const compact = (table: string) =>
  table.trim().replace(/ *\| */g, "|").replace(/-{3,}/g, "---").split("\n");

Deno.test("README.md has every config field with its default and meaning", () => {
  const table = /<!-- config table[^>]*-->([\s\S]*?)<!-- end of config table -->/.exec(readme)?.[1];
  assert.deepEqual(compact(table ?? ""), compact(configTable()));
});

Deno.test("README.md refers only to files that are there", async () => {
  const targets = [...readme.matchAll(/\]\(((?!https?:)[^)#]+)\)/g)].map((match) => match[1]!);
  assert.ok(targets.length >= 5);
  for (const target of targets) assert.ok(await exists(join(projectRoot, target)), target);
});

Deno.test("README.md names only tasks that exist", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(join(projectRoot, "deno.json")));
  for (const [, task] of readme.matchAll(/deno(?:@[\d.]+)? task ([a-z]+)/g)) {
    assert.ok(Object.hasOwn(tasks, task!), `deno task ${task}`);
  }
});
