import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import sharp from "sharp";
import { parseConfig } from "../../lib/core/config.ts";
import { exists } from "../../lib/core/files.ts";
import { classCounts, majorityBaseline, scanDataset } from "../../lib/data/scan.ts";
import type { AuditPolicies, Finding } from "../../lib/run/findings.ts";
import { type ManifestRow, usable } from "../../lib/run/manifest.ts";
import { areThere, realCrops } from "../real_crops.ts";
import { hugePng, inFolder, picture, put } from "./test_images.ts";

const config = parseConfig({ data: { classes: ["non", "sclerotic"] } }).data;

const withAudit = (policies: Partial<AuditPolicies>) => ({
  ...config,
  audit: { ...config.audit, ...policies },
});

const png = (seed: number) => picture(seed).png().toBuffer();

async function putCleanImages(folder: string): Promise<void> {
  for (let i = 0; i < 6; i++) {
    await put(folder, `${i % 3 === 0 ? "sclerotic" : "non"}/S${i % 2}-${i}.png`, await png(i));
  }
}

const brief = (findings: readonly Finding[]) =>
  findings.map(({ path, finding, other_path }) => [finding, path, other_path].join("|"));

Deno.test("scanDataset() describes every image and finds nothing in a clean folder", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    await put(folder, "new/elsewhere.png", await png(99));
    const seen: string[] = [];
    const { rows, findings } = await scanDataset(
      folder,
      { ...config, groupPattern: "([^/]+)-" },
      { progress: (label) => (done, total) => seen.push(`${label} ${done}/${total}`) },
    );
    assert.deepEqual(findings, []);
    assert.deepEqual(rows.map(({ path }) => path), [
      ...["non/S0-2.png", "non/S0-4.png", "non/S1-1.png", "non/S1-5.png"],
      ...["sclerotic/S0-0.png", "sclerotic/S1-3.png"],
    ]);
    const bytes = await Deno.readFile(join(folder, "non/S0-2.png"));
    const { dhash, ...rest } = rows[0]!;
    assert.match(dhash, /^[0-9a-f]{16}$/);
    assert.deepEqual(rest, {
      ...{ path: "non/S0-2.png", label: "non", group: "S0" },
      sha256: createHash("sha256").update(bytes).digest("hex"),
      ...{ width: 72, height: 60, channels: 3, format: "png", status: "ok" },
    });
    assert.deepEqual(seen.slice(0, 6), [1, 2, 3, 4, 5, 6].map((n) => `Reading images ${n}/6`));
    assert.equal(seen.at(-1), "Comparing images 6/6");
  }));

Deno.test("scanDataset() finds every planted fault and loses no image", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    const whole = await png(20);
    await put(folder, "non/cut.png", whole.subarray(0, whole.length / 2));
    await put(folder, "non/empty.png", "");
    await put(folder, "non/text.png", "this is no image");
    await put(folder, "non/bomb.png", hugePng(30000, 30000));
    await put(folder, "non/dot.png", await picture(1, 1, 1).png().toBuffer());
    await put(folder, "non/jpeg.png", await picture(21).jpeg().toBuffer());
    await put(folder, "non/copy.png", await png(1));
    await put(folder, "non/both.png", await png(22));
    await put(folder, "sclerotic/both.png", await png(22));
    await put(folder, "non/small.jpg", await sharp(await png(3)).resize(48, 40).jpeg().toBuffer());
    await put(folder, "non/notes.txt", "");
    await put(folder, "non/.DS_Store", "");
    await Deno.symlink(folder, join(folder, "non/loop"));

    const { rows, findings } = await scanDataset(folder, config);
    assert.equal(rows.length, 6 + 10);
    assert.deepEqual(brief(findings), [
      "skipped|non|",
      "unreadable|non/bomb.png|",
      "unreadable|non/cut.png|",
      "unreadable|non/dot.png|",
      "unreadable|non/empty.png|",
      "unreadable|non/text.png|",
      "wrong_extension|non/jpeg.png|",
      "conflicting_labels|non/both.png|sclerotic/both.png",
      "duplicate|non/copy.png|non/S1-1.png",
      "conflicting_labels|sclerotic/both.png|non/both.png",
      "conflicting_near_duplicate|sclerotic/S1-3.png|non/small.jpg",
    ]);
    const status = new Map(rows.map((row) => [row.path, row.status]));
    for (
      const [path, expected] of Object.entries({
        "non/S1-1.png": /^ok$/,
        "non/copy.png": /^duplicate of non\/S1-1\.png$/,
        "non/bomb.png": /^unreadable: it has 30000 × 30000 pixels/,
        "non/empty.png": /^unreadable: the file is empty/,
        "non/both.png": /^conflicting labels/,
        "non/jpeg.png": /^ok$/,
        "non/small.jpg": /^ok$/,
      })
    ) assert.match(status.get(path)!, expected);
    assert.match(findings.at(-1)!.detail, /labels differ/);
    assert.match(findings[0]!.detail, /^1 link, 1 file of another type, 1 hidden file/);
  }));

Deno.test("scanDataset() reports names that differ by case alone", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    await put(folder, "non/X.png", await png(30));
    if (await exists(join(folder, "non/x.png"))) return; // a file system that ignores case
    await put(folder, "non/x.png", await png(31));
    const { findings } = await scanDataset(folder, config);
    assert.deepEqual(brief(findings), ["case_collision|non/x.png|non/X.png"]);
  }));

Deno.test("scanDataset() stops when a class has no usable image", () =>
  inFolder(async (folder) => {
    await put(folder, "non/a.png", await png(1));
    await put(folder, "sclerotic/a.png", "");
    await assert.rejects(scanDataset(folder, config), /None of the 1 images of .* sclerotic/);
  }));

/** The images that these policies leave out, each with its status. */
const leftOut = async (folder: string, policies: Partial<AuditPolicies>) => {
  const { rows } = await scanDataset(folder, withAudit(policies));
  return rows.filter(({ status }) => status !== "ok").map(({ path, status }) => [path, status]);
};

Deno.test("scanDataset() leaves out what the policies say, and nothing else", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    await put(folder, "non/jpeg.png", await picture(21).jpeg().toBuffer());
    await put(folder, "non/copy.png", await png(1));
    await put(folder, "non/both.png", await png(22));
    await put(folder, "sclerotic/both.png", await png(22));
    const used = { duplicate: "keep", conflictingLabels: "warn", wrongExtension: "warn" } as const;
    assert.deepEqual(await leftOut(folder, used), []);
    const drop = await leftOut(folder, { wrongExtension: "drop" });
    const [[format, why]] = drop.splice(2, 1) as [[string, string]];
    assert.equal(format, "non/jpeg.png");
    assert.match(why, /^content of another format than the name says: The content is JPEG/);
    assert.deepEqual(drop, [
      ["non/both.png", "conflicting labels: the same file as sclerotic/both.png"],
      ["non/copy.png", "duplicate of non/S1-1.png"],
      ["sclerotic/both.png", "conflicting labels: the same file as non/both.png"],
    ]);
  }));

Deno.test("scanDataset() pairs exact copies that are used as near-duplicates, for the split", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    await put(folder, "non/copy.png", await png(1));
    const { findings } = await scanDataset(folder, withAudit({ duplicate: "warn" }));
    assert.deepEqual(brief(findings), [
      "duplicate|non/copy.png|non/S1-1.png",
      "near_duplicate|non/copy.png|non/S1-1.png",
    ]);
  }));

Deno.test("scanDataset() keeps the first near-duplicate of each label, or none of a conflict", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    const scaled = async (size: number) =>
      await sharp(await png(50)).resize(size, size).png().toBuffer();
    await put(folder, "non/x1.png", await scaled(50));
    await put(folder, "non/x2.png", await scaled(60));
    await put(folder, "sclerotic/x3.png", await scaled(70));
    await put(folder, "sclerotic/x4.png", await scaled(80));
    assert.deepEqual(await leftOut(folder, {}), []);
    assert.deepEqual(await leftOut(folder, { nearDuplicate: "drop" }), [
      ["non/x2.png", "near-duplicate of non/x1.png"],
      ["sclerotic/x4.png", "near-duplicate of sclerotic/x3.png"],
    ]);
    const same = "conflicting labels: shows the same as";
    assert.deepEqual(await leftOut(folder, { conflictingNearDuplicate: "drop" }), [
      ...["non/x1.png", "non/x2.png"].map((path) => [path, `${same} sclerotic/x3.png`]),
      ...["sclerotic/x3.png", "sclerotic/x4.png"].map((path) => [path, `${same} non/x1.png`]),
    ]);
  }));

Deno.test("scanDataset() seeks no near-duplicates of what is left out", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    await put(folder, "non/a.png", await picture(50).jpeg({ quality: 60 }).toBuffer());
    await put(folder, "non/b.png", await png(50));
    const near = async (policies: Partial<AuditPolicies>) =>
      brief((await scanDataset(folder, withAudit(policies))).findings)
        .filter((finding) => finding.startsWith("near"));
    assert.deepEqual(await near({}), ["near_duplicate|non/b.png|non/a.png"]);
    assert.deepEqual(await near({ wrongExtension: "drop" }), []);
  }));

Deno.test("scanDataset() keeps what labels.csv leaves out in the manifest, unused, with the reason", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    // a copy of what is left out: neither a duplicate of it nor in conflict with its label
    await put(folder, "sclerotic/copy.png", await png(1));
    await put(folder, "labels.csv", "path,label\nnon/S1-1.png,\n");
    const { rows, findings } = await scanDataset(folder, config);
    const left = rows.filter(({ status }) => status !== "ok");
    assert.deepEqual(left.map(({ path, label }) => [path, label]), [["non/S1-1.png", ""]]);
    assert.match(left[0]!.status, /empty label in labels\.csv/);
    assert.equal(usable(rows).length, 6);
    assert.deepEqual(brief(findings), ["left_out_by_labels|non/S1-1.png|"]);
  }));

Deno.test({
  name: "scanDataset() finds nothing among 484 real crops, the softer sclerotic ones included",
  ignore: !areThere,
  fn: async () => {
    const { rows, findings } = await scanDataset(realCrops, parseConfig({}).data);
    assert.equal(rows.length, 484);
    assert.deepEqual(findings, []);
  },
});

Deno.test("classCounts() counts used images, groups and what is left out", () => {
  const row = (label: string, group: string, status = "ok") =>
    ({ label, group, status }) as ManifestRow;
  const used = [row("a", "1"), row("a", "1"), row("a", "2"), row("b", "2")];
  assert.deepEqual(classCounts([...used, row("b", "3", "broken")], ["b", "a"]), [
    { label: "b", images: 1, share: 0.25, groups: 1, left_out: 1 },
    { label: "a", images: 3, share: 0.75, groups: 2, left_out: 0 },
  ]);
});

Deno.test("majorityBaseline() is the share of the most frequent class", () => {
  const labels = [...Array(1054).fill("sclerotic"), ...Array(4704).fill("non")];
  const { label, accuracy } = majorityBaseline(labels);
  assert.equal(label, "non");
  assert(Math.abs(accuracy - 0.8169503) < 1e-7);
  assert.deepEqual(majorityBaseline(["b", "a"]), { label: "b", accuracy: 0.5 });
  assert(Number.isNaN(majorityBaseline([]).accuracy));
});
