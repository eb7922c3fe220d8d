import assert from "node:assert/strict";
import { join } from "node:path";
import {
  exists,
  readJson,
  sha256File,
  writeAll,
  writeAtomic,
  writeAtomicWith,
  writeJson,
} from "../../lib/core/files.ts";
import { inFolder } from "../data/test_images.ts";

/** A test with an empty folder of its own. */
const test = (name: string, body: (folder: string) => Promise<void>) =>
  Deno.test(name, () => inFolder(body));

const namesIn = async (folder: string) =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();

test("writeAtomic() makes folders, replaces the file and leaves nothing beside it", async (folder) => {
  const path = join(folder, "a/b/c.txt");
  await writeAtomic(path, "old");
  await writeAtomic(path, "nëw\n");
  assert.equal(await Deno.readTextFile(path), "nëw\n");
  await writeAtomic(path, Uint8Array.of(0, 255));
  assert.deepEqual(await Deno.readFile(path), Uint8Array.of(0, 255));
  assert.deepEqual(await namesIn(join(folder, "a/b")), ["c.txt"]);
});

test("writeAtomicWith() leaves the old file untouched when writing fails half-way", async (folder) => {
  const path = join(folder, "c.txt");
  await writeAtomic(path, "old");
  const failure = writeAtomicWith(path, async (file) => {
    await writeAll(file, new TextEncoder().encode("half of the n"));
    assert.equal(await Deno.readTextFile(path), "old");
    throw new Error("disk full");
  });
  await assert.rejects(failure, /disk full/);
  assert.equal(await Deno.readTextFile(path), "old");
  assert.deepEqual(await namesIn(folder), ["c.txt"]);
});

test("writeAtomic() leaves nothing behind when the file cannot be put in place", async (folder) => {
  await Deno.mkdir(join(folder, "taken/inside"), { recursive: true });
  await assert.rejects(writeAtomic(join(folder, "taken"), "text"));
  assert.deepEqual(await namesIn(folder), ["taken"]);
  assert.deepEqual(await namesIn(join(folder, "taken")), ["inside"]);
});

test("writeAtomic() lets one of many writers at once win, whole", async (folder) => {
  const path = join(folder, "c.txt");
  const texts = Array.from({ length: 20 }, (_, i) => `${i}`.repeat(50_000));
  await Promise.all(texts.map((text) => writeAtomic(path, text)));
  assert.ok(texts.includes(await Deno.readTextFile(path)));
  assert.deepEqual(await namesIn(folder), ["c.txt"]);
});

test("exists() is false of what is missing, of dangling links and below a file", async (folder) => {
  await writeAtomic(join(folder, "file"), "");
  await Deno.symlink("nowhere", join(folder, "dangling"));
  await Deno.symlink("file", join(folder, "link"));
  const answers = ["file", "link", "dangling", "missing", "missing/x", "file/x"].map((name) =>
    exists(join(folder, name))
  );
  assert.deepEqual(await Promise.all(answers), [true, true, false, false, false, false]);
  assert.equal(await exists(folder), true);
});

test("readJson() reads what writeJson() wrote, and says which file is missing or damaged", async (folder) => {
  const path = join(folder, "x.json");
  const value = { name: '<a> "b" \u2028 é', list: [1, null, 1e-7] };
  await writeJson(path, value);
  assert.match(await Deno.readTextFile(path), /^\{\n {2}"name"[^]*\n\}\n$/);
  assert.deepEqual(await readJson(path, "Do this."), value);
  const expected = { name: "DataError", file: path, remedy: "Do this." };
  const refused = (message: RegExp) =>
    assert.rejects(readJson(path, "Do this."), { ...expected, message });
  for (const text of ['{"a": 1', "", "\0\0\0"]) {
    await writeAtomic(path, text);
    await refused(/is not valid JSON/);
  }
  await Deno.remove(path);
  await refused(/cannot be read/);
});

test("sha256File() is the SHA-256 of the whole file", async (folder) => {
  const path = join(folder, "x");
  const known = [
    ["", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    ["a".repeat(1e6), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"],
  ] as const; // FIPS 180-2 and NIST's examples
  for (const [text, hash] of known) {
    await writeAtomic(path, text);
    assert.equal(await sha256File(path), hash);
  }
  const large = new Uint8Array(3 * 2 ** 20 + 5).fill(7); // several reads
  await writeAtomic(path, large);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", large));
  assert.equal(await sha256File(path), digest.toHex());
});
