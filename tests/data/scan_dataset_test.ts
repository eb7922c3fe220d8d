import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import sharp from "sharp";
import { parseConfig } from "../../lib/core/config.ts";
import { DataError } from "../../lib/core/errors.ts";
import { exists } from "../../lib/core/files.ts";
import { listClassFolders } from "../../lib/data/labels.ts";
import { scanDataset } from "../../lib/data/scan.ts";
import type { AuditPolicies, Finding } from "../../lib/run/findings.ts";
import { hugePng, inFolder, picture, put } from "./test_images.ts";

const { audit } = parseConfig({}).data;

const config = {
  ...{ classes: ["non", "sclerotic"], groupPattern: null },
  ...{ followLinks: false, maxMegapixels: 100, audit },
};

const withAudit = (policies: Partial<AuditPolicies>) => ({
  ...config,
  audit: { ...audit, ...policies },
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
      "non/S0-2.png",
      "non/S0-4.png",
      "non/S1-1.png",
      "non/S1-5.png",
      "sclerotic/S0-0.png",
      "sclerotic/S1-3.png",
    ]);
    const bytes = await Deno.readFile(join(folder, "non/S0-2.png"));
    const { dhash, ...rest } = rows[0]!;
    assert.match(dhash, /^[0-9a-f]{16}$/);
    assert.deepEqual(rest, {
      path: "non/S0-2.png",
      label: "non",
      group: "S0",
      sha256: createHash("sha256").update(bytes).digest("hex"),
      width: 72,
      height: 60,
      channels: 3,
      format: "png",
      status: "ok",
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
    assert.equal(status.get("non/S1-1.png"), "ok");
    assert.equal(status.get("non/copy.png"), "duplicate of non/S1-1.png");
    assert.match(status.get("non/bomb.png")!, /^unreadable: it has 30000 × 30000 pixels/);
    assert.match(status.get("non/empty.png")!, /^unreadable: the file is empty/);
    assert.match(status.get("non/both.png")!, /^conflicting labels/);
    assert.equal(status.get("non/jpeg.png"), "ok");
    assert.equal(status.get("non/small.jpg"), "ok");
    assert.match(findings.at(-1)!.detail, /labels differ/);
    assert.match(
      findings[0]!.detail,
      /^1 link, 1 file of another type, 1 hidden file not looked at$/,
    );
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
    await assert.rejects(
      scanDataset(folder, config),
      /None of the 1 images of the class sclerotic/,
    );
  }));

Deno.test("listClassFolders() explains folders that cannot be used", () =>
  inFolder(async (folder) => {
    const list = (classes = ["non_sclerotic", "sclerotic"]) => listClassFolders(folder, classes);
    const rejects = (message: RegExp) =>
      assert.rejects(list(), (error: unknown) => {
        assert(error instanceof DataError);
        assert.match(error.message, message);
        return true;
      });
    await assert.rejects(listClassFolders(join(folder, "none"), ["a", "b"]), /cannot be read/);
    await rejects(/lacks the class folders "non_sclerotic" and "sclerotic". It holds no other/);
    await put(folder, "non_sclerotic/a.png", "");
    await put(folder, "Sclerotic/a.png", "");
    await rejects(/lacks the class folder "sclerotic". It holds "Sclerotic"/);
    await put(folder, "sclerotic/notes.txt", "");
    if (await exists(join(folder, "SCLEROTIC"))) return; // a file system that ignores case
    await rejects(/"Sclerotic" .* misspelt name/);
    await Deno.remove(join(folder, "Sclerotic"), { recursive: true });
    await rejects(/holds no images \(1 file of another type not looked at\)/);
    await put(folder, "sclerotic/b.png", "");
    await put(folder, "new/c.png", "");
    assert.deepEqual((await list()).map(({ paths }) => paths), [
      ["non_sclerotic/a.png"],
      ["sclerotic/b.png"],
    ]);
  }));

const statuses = async (folder: string, policies: Partial<AuditPolicies>) => {
  const { rows } = await scanDataset(folder, withAudit(policies));
  return Object.fromEntries(rows.map(({ path, status }) => [path, status]));
};

Deno.test("scanDataset() leaves out what the policies say, and nothing else", () =>
  inFolder(async (folder) => {
    await putCleanImages(folder);
    await put(folder, "non/jpeg.png", await picture(21).jpeg().toBuffer());
    await put(folder, "non/copy.png", await png(1));
    await put(folder, "non/both.png", await png(22));
    await put(folder, "sclerotic/both.png", await png(22));
    const keep = await statuses(folder, {
      duplicate: "keep",
      conflictingLabels: "warn",
      wrongExtension: "warn",
    });
    assert.deepEqual(new Set(Object.values(keep)), new Set(["ok"]));
    const drop = await statuses(folder, { wrongExtension: "drop" });
    assert.deepEqual(
      Object.entries(drop).filter(([, status]) => status !== "ok"),
      [
        ["non/both.png", "conflicting labels: the same file as sclerotic/both.png"],
        ["non/copy.png", "duplicate of non/S1-1.png"],
        [
          "non/jpeg.png",
          "content of another format than the name says: The content is JPEG, other than the " +
          "name says.",
        ],
        ["sclerotic/both.png", "conflicting labels: the same file as non/both.png"],
      ],
    );
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
    const left = async (policies: Partial<AuditPolicies>) =>
      Object.entries(await statuses(folder, policies)).filter(([, status]) => status !== "ok");
    assert.deepEqual(await left({}), []);
    assert.deepEqual(await left({ nearDuplicate: "drop" }), [
      ["non/x2.png", "near-duplicate of non/x1.png"],
      ["sclerotic/x4.png", "near-duplicate of sclerotic/x3.png"],
    ]);
    assert.deepEqual(await left({ conflictingNearDuplicate: "drop" }), [
      ["non/x1.png", "conflicting labels: shows the same as sclerotic/x3.png"],
      ["non/x2.png", "conflicting labels: shows the same as sclerotic/x3.png"],
      ["sclerotic/x3.png", "conflicting labels: shows the same as non/x1.png"],
      ["sclerotic/x4.png", "conflicting labels: shows the same as non/x1.png"],
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
