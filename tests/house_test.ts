import assert from "node:assert/strict";
import { basename, dirname, join, normalize, relative } from "node:path";
import { projectRoot } from "../lib/core/paths.ts";
import * as api from "../lib/mod.ts";
import { codeTexts, type Notebook } from "./notebooks/code_cells.ts";

const BELOW_SHOW = "core run data split images model training metrics evaluation".split(" ");

/** The rooms of lib/, from the ground up, each with those that it may import. */
const ROOMS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  run: ["core"],
  data: ["core", "run"],
  split: ["core", "run", "data"],
  images: ["core", "run", "data"],
  model: ["core", "run", "data", "images"],
  training: ["core", "run", "data", "images", "split", "model"],
  metrics: ["core", "run", "data", "images", "split", "model"],
  evaluation: ["core", "run", "data", "images", "model", "metrics"],
  show: BELOW_SHOW,
  verbs: [...BELOW_SHOW, "show"],
};

/** Lines of a file: less is no topic, more is two. */
const LINES = { least: 25, most: 400 };

/** Longer or shorter files, each with its reason. */
const EXCEPTIONS: Readonly<Record<string, string>> = {};

/** The rebuilt house was 22,000 lines of lib; folds, their one model, probe, attention and tests
 * between runs are work that it did not do. */
const LIMITS = {
  lib: { lines: 25_000, files: 120 },
  tools: { lines: 2_600, files: 25 },
  tests: { lines: 20_500, files: 160 },
};

/** Files of a folder with their text, by path from the project. */
async function readFolder(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const entry of Deno.readDir(join(projectRoot, folder))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory && entry.name !== "__pycache__") {
      for (const [inner, text] of await readFolder(path)) files.set(inner, text);
    } else if (/\.(ts|py)$/.test(entry.name)) {
      files.set(path, await Deno.readTextFile(join(projectRoot, path)));
    }
  }
  return files;
}

const lib = await readFolder("lib");

const lineCount = (text: string) => text.trimEnd().split("\n").length;

/** Modules of the project that a module imports or re-exports, types too. */
function importsOf(path: string, text: string): string[] {
  const specifiers = [
    ...text.matchAll(/^(?:import|export|\})[^;]*? from "(\.[^"]+)"/gms),
    ...text.matchAll(/\bimport\(\s*"(\.[^"]+)"/g),
  ];
  return specifiers.map(([, specifier]) => normalize(join(dirname(path), specifier!)));
}

const roomOf = (path: string): string => path.split("/")[1]!;

Deno.test("the rooms of lib/ import those below them, and nothing outside lib/", () => {
  const climbing: string[] = [];
  for (const [path, text] of lib) {
    if (path === "lib/mod.ts") continue;
    const below = ROOMS[roomOf(path)];
    assert.ok(below, `${path} is in no room`);
    for (const target of importsOf(path, text)) {
      const room = target.startsWith("lib/") ? roomOf(target) : "";
      if (room !== roomOf(path) && !below.includes(room)) climbing.push(`${path} -> ${target}`);
    }
  }
  assert.deepEqual(climbing, []);
});

Deno.test("no module of lib/ imports itself through others", () => {
  const graph = new Map([...lib].map(([path, text]) => [path, importsOf(path, text)]));
  const done = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    assert.ok(!way.includes(path), `a circle: ${[...way, path].join(" -> ")}`);
    if (done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...way, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
});

Deno.test("a file of lib/ is one topic: neither a fragment nor two of them", () => {
  const odd = [...lib].flatMap(([path, text]) => {
    const lines = lineCount(text);
    const fits = lines >= LINES.least && lines <= LINES.most;
    return fits === Object.hasOwn(EXCEPTIONS, path) ? [`${path}: ${lines} lines`] : [];
  });
  assert.deepEqual(odd, [], "split or merge these, or correct the list of exceptions");
  for (const path of Object.keys(EXCEPTIONS)) assert.ok(lib.has(path), path);
});

Deno.test("no file of lib/ only forwards to others", () => {
  for (const [path, text] of lib) {
    if (path === "lib/mod.ts" || !path.endsWith(".ts")) continue;
    assert.match(text, /^(export )?(async function|function|const|type|interface|class) /m, path);
  }
});

Deno.test("the house stays small", async () => {
  for (const [folder, limits] of Object.entries(LIMITS)) {
    const files = [...await readFolder(folder)];
    const lines = files.reduce((sum, [, text]) => sum + lineCount(text), 0);
    assert.ok(lines <= limits.lines, `${folder}: ${lines} lines, ${limits.lines} at most`);
    assert.ok(files.length <= limits.files, `${folder}: ${files.length} files`);
  }
  assert.ok(Object.keys(api).length <= 25, `mod.ts has ${Object.keys(api).length} names`);
});

/** Lines of a cell that are neither empty nor a comment. */
const codeLines = (source: string): string[] =>
  source.split("\n").filter((line) => line.trim() !== "" && !line.trim().startsWith("//"));

Deno.test("a notebook imports mod.ts alone, and its cells are short but for the settings", async () => {
  for await (const { name } of Deno.readDir(join(projectRoot, "notebooks"))) {
    if (!name.endsWith(".ipynb")) continue;
    const text = await Deno.readTextFile(join(projectRoot, "notebooks", name));
    const cells = codeTexts(JSON.parse(text) as Notebook);
    const specifiers = [...cells.join("\n").matchAll(/ from "([^"]+)"/g)].map(([, from]) => from);
    assert.deepEqual(specifiers, ["../lib/mod.ts"], name);
    const [, names = ""] = /^import \{([^}]*)\}/.exec(cells[0]!) ?? [];
    assert.ok(names.split(",").length <= 10, `${name} imports too much`);
    for (const cell of cells.filter((cell) => !cell.includes("configure("))) {
      assert.ok(codeLines(cell).length <= 15, `${name}: a cell of over 15 lines\n${cell}`);
    }
    assert.ok(codeLines(cells.join("\n")).length <= 80, `${name} has over 80 lines of code`);
  }
});

/** npm packages that a module imports as it is loaded, through others too; types are no imports. */
async function packagesOf(path: string, seen = new Set<string>()): Promise<string[]> {
  if (seen.has(path)) return [];
  seen.add(path);
  const text = await Deno.readTextFile(join(projectRoot, path));
  const found: string[] = [];
  for (const [, names, from] of text.matchAll(/^(?:import|export) ([^;]*?) from "([^"]+)"/gms)) {
    const bare = names!.replace(/[{}\s]/g, " ").split(",").map((part) => part.trim())
      .filter((part) => part !== "");
    if (names!.startsWith("type ") || bare.every((part) => part.startsWith("type "))) continue;
    if (from!.startsWith(".")) {
      found.push(...await packagesOf(normalize(join(dirname(path), from!)), seen));
    } else if (!from!.startsWith("node:")) found.push(`${relative("", path)} imports ${from}`);
  }
  return found;
}

Deno.test("commands that set up load no package before it is there", async () => {
  for (const command of ["setup", "run", "lab", "verify", "compare"]) {
    assert.deepEqual(await packagesOf(`tools/${command}.ts`), [], basename(command));
  }
  assert.deepEqual(await packagesOf("tests/main.ts"), []);
});
