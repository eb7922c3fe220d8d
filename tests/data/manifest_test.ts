import assert from "node:assert/strict";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import {
  type Finding,
  nearDuplicatePairs,
  readFindings,
  writeFindings,
} from "../../lib/run/findings.ts";
import { readManifest, usable, writeManifest } from "../../lib/run/manifest.ts";
import { manifestRow } from "../split/manifest_rows.ts";
import { inFolder } from "./test_images.ts";

const hostile = "non/=cmd(),\"a'\n<script>.png";

const row = (path: string, status = "ok") => ({ ...manifestRow(1, false, "S1"), path, status });

Deno.test("readManifest() returns what writeManifest() wrote", () =>
  inFolder(async (folder) => {
    const path = join(folder, "deep/manifest.parquet");
    const rows = [row("non/a.png"), row(hostile, "duplicate of non/a.png"), row("non/é😀.png")];
    await writeManifest(path, rows);
    const read = await readManifest(path);
    assert.deepEqual(read, rows);
    assert.deepEqual(Object.keys(read[0]!), Object.keys(rows[0]!)); // in this order
    const magic = (await Deno.readFile(path)).subarray(0, 4);
    assert.equal(new TextDecoder().decode(magic), "PAR1"); // for other readers of Parquet
    assert.deepEqual(usable(rows).map((r) => r.path), ["non/a.png", "non/é😀.png"]);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(join(folder, "deep")), (e) => e.name), [
      "manifest.parquet",
    ]);

    await writeManifest(path, []);
    assert.deepEqual(await readManifest(path), []);
  }));

Deno.test("readManifest() says what to do when the file is missing or damaged", () =>
  inFolder(async (folder) => {
    const path = join(folder, "manifest.parquet");
    await assert.rejects(readManifest(path), DataError);
    await writeManifest(path, [row("non/a.png")]);
    await Deno.truncate(path, 100);
    await assert.rejects(readManifest(path), /Run notebook 02 again/);
  }));

Deno.test("readFindings() returns what writeFindings() wrote", () =>
  inFolder(async (folder) => {
    const path = join(folder, "audit.csv");
    const findings: Finding[] = [
      { path: hostile, finding: "unreadable", detail: 'empty, "zero" bytes', other_path: "" },
      { path: "b.png", finding: "near_duplicate", detail: "=1+1", other_path: hostile },
    ];
    await writeFindings(path, findings);
    assert.deepEqual(await readFindings(path), findings);
    assert.match(await Deno.readTextFile(path), /^path,finding,detail,other_path\n/);
    assert.deepEqual(nearDuplicatePairs(findings), [["b.png", hostile]]);
    const kinds = ["duplicate", "conflicting_near_duplicate"] as const;
    const pairs = kinds.map((finding) => ({ ...findings[1]!, finding, path: finding }));
    assert.deepEqual(nearDuplicatePairs(pairs), [["conflicting_near_duplicate", hostile]]);

    await writeFindings(path, []);
    assert.deepEqual(await readFindings(path), []);
  }));
