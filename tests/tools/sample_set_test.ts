import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { extname, join } from "node:path";
import sharp from "sharp";
import { parseConfig } from "../../lib/core/config.ts";
import { readCsv } from "../../lib/core/csv.ts";
import { DataError } from "../../lib/core/errors.ts";
import { isSynthetic } from "../../lib/core/paths.ts";
import { scanDataset } from "../../lib/data/scan.ts";
import type { FindingKind } from "../../lib/run/findings.ts";
import { makeSampleSet } from "../../tools/sample.ts";
import { planSampleSet } from "../../tools/sample_plan.ts";
import { inFolder } from "../data/test_images.ts";

const NON = "non_globally_sclerotic_glomeruli";

const SCLEROTIC = "globally_sclerotic_glomeruli";

const TINY = { seed: 7, trainCrops: 20, newCrops: 6 };

/** Names in a folder, sorted. */
async function list(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), (entry) => entry.name)).sort();
}

/** SHA-256 of every file below a folder, by path. */
async function hashes(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await list(folder)) {
    const path = join(folder, name);
    if ((await Deno.stat(path)).isDirectory) {
      for (const [inner, hash] of Object.entries(await hashes(path))) {
        found[`${name}/${inner}`] = hash;
      }
    } else found[name] = createHash("sha256").update(await Deno.readFile(path)).digest("hex");
  }
  return found;
}

const decode = async (path: string) =>
  await sharp(path, { failOn: "warning" }).raw().toBuffer({ resolveWithObject: true });

Deno.test("makeSampleSet() makes the same bytes from the same seed", async () => {
  await inFolder(async (folder) => {
    const small = { seed: 7, trainCrops: 6, newCrops: 2 };
    await makeSampleSet(join(folder, "a"), small);
    await makeSampleSet(join(folder, "b"), small);
    await makeSampleSet(join(folder, "c"), { ...small, seed: 8 });
    const [a, b, c] = await Promise.all(["a", "b", "c"].map((n) => hashes(join(folder, n))));
    assert.deepEqual(a, b);
    assert.notDeepEqual(new Set(Object.values(a!)), new Set(Object.values(c!)));
    assert.deepEqual(await list(folder), ["a", "b", "c"]);
  });
});

Deno.test("makeSampleSet() plants the faults that it records; the audit finds them and no more", async () => {
  await inFolder(async (parent) => {
    const folder = join(parent, "sample");
    const seen: number[] = [];
    const onProgress = (done: number, total: number) => void seen.push(done / total);
    await makeSampleSet(folder, { ...TINY, onProgress });
    const files = ["SYNTHETIC.md", "faults.csv", "new_truth.csv"];
    assert.deepEqual(await list(folder), [...files, "new", NON, SCLEROTIC].sort());
    assert.equal(seen.at(-1), 1);
    assert.deepEqual(seen, seen.toSorted((x, y) => x - y));

    const faults = await readCsv(join(folder, "faults.csv"), ["path", "fault", "other_path"], "-");
    checkKinds(faults);

    const broken = new Set(
      faults.filter((row) => FAULTS_OF.unreadable!.includes(row.fault)).map((row) => row.path),
    );
    const images = Object.keys(await hashes(folder)).filter((path) => path.includes("/"));
    assert.equal(images.length, TINY.trainCrops + TINY.newCrops + faults.length);
    const planted = new Set(faults.map((row) => row.path));
    for (const path of images) {
      if (broken.has(path)) continue;
      const { info } = await decode(join(folder, path));
      if (planted.has(path)) continue;
      assert.equal(info.channels, extname(path) === ".png" ? 4 : 3, path);
      assert.ok(Math.min(info.width, info.height) >= 480, path);
      assert.ok(Math.max(info.width, info.height) <= 900, path);
    }
    await checkTruth(folder, images, broken);
    await checkAudit(folder, faults);
  });
});

type FaultRow = Record<"path" | "fault" | "other_path", string>;

/** Each kind of finding, and the planted faults that have to be found as it. */
const FAULTS_OF: Partial<Record<FindingKind, string[]>> = {
  unreadable: ["truncated", "zero_byte", "not_an_image"],
  duplicate: ["exact_duplicate"],
  conflicting_labels: ["exact_duplicate_other_class"],
  near_duplicate: ["reencoded", "rescaled", "flipped"].map((how) => `near_duplicate_${how}`),
  unusual_mode: ["grey", "sixteen_bit", "cmyk", "hidden_by_transparency"],
  ...Object.fromEntries(
    ["blurred", "too_dark", "too_bright", "nearly_uniform", "empty_margin"]
      .concat("size_outlier", "aspect_outlier", "wrong_extension").map((kind) => [kind, [kind]]),
  ),
};

/** Every kind of fault is planted, and those that are a file's alone among the new images too. */
function checkKinds(faults: readonly FaultRow[]): void {
  const kinds = (isNew: boolean) =>
    new Set(faults.filter((r) => r.path.startsWith("new/") === isNew).map((r) => r.fault));
  assert.deepEqual(kinds(false), new Set(Object.values(FAULTS_OF).flat()));
  assert.deepEqual(kinds(true), new Set([...FAULTS_OF.unreadable!, "exact_duplicate"]));
}

/** What the audit has to say of exactly the planted files, and of nothing else. */
async function checkAudit(folder: string, faults: readonly FaultRow[]): Promise<void> {
  const { findings } = await scanDataset(folder, parseConfig({}).data);
  const found = findings.map(({ path, finding, other_path }) => [finding, path, other_path]);
  const expected = faults.filter(({ path }) => !path.startsWith("new/")).flatMap((row) => {
    const { path, other_path } = row;
    const [kind] = Object.entries(FAULTS_OF).find(([, names]) => names.includes(row.fault))!;
    if (kind === "conflicting_labels") return [[kind, path, other_path], [kind, other_path, path]];
    // Of two alike the one that comes first is kept, and named as the other.
    if (!kind.endsWith("duplicate")) return [[kind, path, ""]];
    return [path < other_path ? [kind, other_path, path] : [kind, path, other_path]];
  });
  assert.deepEqual(found.map(String).sort(), expected.map(String).sort());
}

async function checkTruth(folder: string, images: string[], broken: Set<string>): Promise<void> {
  const truth = await readCsv(join(folder, "new_truth.csv"), ["name", "label"], "-");
  const readable = images.filter((path) => path.startsWith("new/") && !broken.has(path));
  assert.deepEqual(truth.map((row) => `new/${row.name}`), readable.toSorted());
  for (const { label } of truth) assert.ok([NON, SCLEROTIC].includes(label));
}

Deno.test("makeSampleSet() leaves a sample set as it is and refuses any other folder", async () => {
  await inFolder(async (parent) => {
    const folder = join(parent, "sample");
    const mine = join(folder, "my scan.txt");
    await Deno.mkdir(folder);
    await Deno.writeTextFile(mine, "irreplaceable");
    await assert.rejects(makeSampleSet(folder, TINY), DataError);
    assert.equal(await Deno.readTextFile(mine), "irreplaceable");
    assert.deepEqual(await list(parent), ["sample"]);
    await assert.rejects(makeSampleSet(mine, TINY), DataError);

    await Deno.writeTextFile(join(folder, "SYNTHETIC.md"), "");
    await makeSampleSet(folder, TINY);
    assert.deepEqual(await list(folder), ["SYNTHETIC.md", "my scan.txt"]);
  });
});

Deno.test("makeSampleSet() leaves nothing when it is interrupted, and clears up after a kill", async () => {
  await inFolder(async (parent) => {
    const folder = join(parent, "sample");
    const stop = () => {
      throw new Error("stopped");
    };
    await assert.rejects(makeSampleSet(folder, { ...TINY, onProgress: stop }), /stopped/);
    assert.deepEqual(await list(parent), []);

    await Deno.mkdir(join(parent, ".sample.making", "new"), { recursive: true });
    await Deno.mkdir(join(parent, ".sample.notes.making"));
    await makeSampleSet(folder, { trainCrops: 3, newCrops: 1 });
    assert.deepEqual(await list(parent), [".sample.notes.making", "sample"]);
  });
});

Deno.test("isSynthetic() finds the marker in the folder and up to three above", async () => {
  await inFolder(async (parent) => {
    await Deno.writeTextFile(join(parent, "SYNTHETIC.md"), "");
    for (const path of [".", "a", "SYNTHETIC.md", "a/b/c"]) {
      assert.equal(await isSynthetic(join(parent, path)), true, path);
    }
    assert.equal(await isSynthetic(join(parent, "a", "b", "c", "d")), false);
  });
});

Deno.test("planSampleSet() keeps the promised slides, class shares and formats", () => {
  const crops = planSampleSet(42, 360, 60);
  const old = crops.filter((crop) => !crop.isNew);
  const fresh = crops.filter((crop) => crop.isNew);
  assert.deepEqual([old.length, fresh.length], [360, 60]);
  assert.equal(new Set(crops.map((crop) => crop.name)).size, 420);
  const slides = (of: typeof crops) => new Set(of.map((crop) => crop.slide.name));
  assert.equal(slides(old).size, 12);
  assert.equal(slides(old).intersection(slides(fresh)).size, 0);
  const share = (of: typeof crops) =>
    of.filter((crop) => crop.label === SCLEROTIC).length / of.length;
  assert.ok(Math.abs(share(old) - 0.2) < 0.04, String(share(old)));
  const shares = [...slides(old)].map((name) => share(old.filter((c) => c.slide.name === name)));
  assert.ok(Math.min(...shares) < 0.08 && Math.max(...shares) > 0.4, String(shares));
  for (const crop of crops) {
    assert.equal(crop.sclerotic, crop.label === SCLEROTIC);
    assert.match(crop.name, /^slide_\d\d_\d{3}/);
    assert.ok(crop.name.startsWith(crop.slide.name));
  }
  const count = (extension: string) => old.filter((c) => c.name.endsWith(extension)).length;
  assert.deepEqual([count(".jpg"), count(".tif")], [36, 18]);
  assert.equal(old.filter((crop) => /[ ,]/.test(crop.name)).length, 1);
});
