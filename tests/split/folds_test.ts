import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { ConfigError, DataError } from "../../lib/core/errors.ts";
import { certifySplit, requestOf, verifyCertificate } from "../../lib/run/split_certificate.ts";
import {
  foldsAdvice,
  members,
  readSplit,
  requestedFractions,
  type SplitRow,
  splitText,
  subsetCounts,
  testedRows,
  writeSplit,
} from "../../lib/run/split_file.ts";
import { readGivenSplit, stratifiedSplit } from "../../lib/split/split.ts";
import { inFolder, put } from "../data/test_images.ts";
import { manifestRow } from "./manifest_rows.ts";

/** Images of 12 to 31 slides, most of which hold both classes. */
const manifests = fc.tuple(
  fc.integer({ min: 12, max: 31 }),
  fc.array(fc.boolean(), { minLength: 90, maxLength: 200 }),
).map(([slides, labels]) =>
  labels.map((positive, i) => manifestRow(i, positive, `S${(i * 7 + (i >> 3)) % slides}`))
);

const request = (folds: number, repeats = 1, test = 0, seed = 42) => ({
  seed,
  repeats,
  fractions: requestedFractions({ folds, test, train: 0.7, validation: 0.15 }),
});

const manifest = Array.from({ length: 100 }, (_, i) => manifestRow(i, i % 3 === 0, `S${i % 11}`));

Deno.test("members() tests every image once each time, by a model that never saw its group", () => {
  fc.assert(
    fc.property(
      manifests,
      fc.integer({ min: 3, max: 8 }),
      fc.integer({ min: 1, max: 3 }),
      fc.constantFrom(0, 0.2),
      fc.nat(),
      (rows, folds, repeats, heldOut, seed) => {
        const pairs = [[rows[0]!.path, rows[9]!.path]] as const;
        const split = stratifiedSplit(rows, request(folds, repeats, heldOut, seed), pairs);
        const test = split.filter(({ subset }) => subset === "test");
        assert.equal(test.length > 0, heldOut > 0);
        const parts = members(split);
        assert.equal(parts.length, folds * repeats);
        assert.equal(new Set(parts.map(({ fold }) => fold)).size, parts.length);
        const tested = parts.flatMap((part) => part.test.map(({ path }) => path));
        const others = split.filter(({ subset }) => subset !== "test").map(({ path }) => path);
        assert.deepEqual(tested.sort(), others.flatMap((path) => Array(repeats).fill(path)));
        for (const { train, validation, test: own } of parts) {
          assert.equal(train.length + validation.length + own.length, others.length);
          assert.equal(new Set(train.map(({ label }) => label)).size, 2);
          const sets = [train, validation, own, test]
            .map((part) => new Set(part.map(({ group }) => group)));
          sets.forEach((a, i) =>
            sets.slice(i + 1).forEach((b) => assert.equal(a.intersection(b).size, 0))
          );
        }
        assert.deepEqual(
          testedRows(split).map(({ path }) => path),
          heldOut > 0 ? test.map(({ path }) => path) : others,
        );
      },
    ),
    { seed: 1, numRuns: 60 },
  );
});

Deno.test("members() of a single split is one training", () => {
  const split = stratifiedSplit(manifest, request(0), []);
  const parts = members(split);
  assert.deepEqual(parts.map(({ fold }) => fold), [""]);
  const { train, validation, test } = parts[0]!;
  assert.equal(train.length + validation.length + test.length, 100);
});

Deno.test("stratifiedSplit() deals folds as alike as whole groups allow, and the same again by seed", () => {
  const split = stratifiedSplit(manifest, request(5, 2), []);
  for (const { images, classes } of subsetCounts(split)) {
    assert.ok(Math.abs(images - 20) <= 9 && Math.abs(classes["sclerotic"]! - 6.8) <= 3.5);
  }
  const again = stratifiedSplit(manifest.toReversed(), request(5, 2), []);
  assert.equal(splitText(again), splitText(split));
  assert.ok(split.some(({ subset, again }) => subset !== again![0]), "the second time is another");
  const uneven = Array.from(
    { length: 56 },
    (_, i) => manifestRow(i, i % 19 < 8, `S${i < 19 ? i : i * i % 19}`),
  );
  for (const [rows, groups] of [[manifest, 11], [uneven, 19]] as const) {
    for (let folds = 3; folds <= groups; folds++) {
      const counts = subsetCounts(stratifiedSplit(rows, request(folds), []));
      assert.equal(counts.length, folds, "no fold is empty");
      if (folds === groups) assert.ok(counts.every(({ groups }) => groups === 1));
    }
  }
});

Deno.test("stratifiedSplit() refuses more folds than groups, and folds whose training lacks a class", () => {
  assert.throws(() => stratifiedSplit(manifest, request(12), []), {
    name: DataError.name,
    message: /12 folds were asked for, but the images form 11 groups[^]*split\.folds to 11/,
  });
  const rare = manifest.map((row, i) => ({ ...row, label: i === 3 ? "sclerotic" : "non" }));
  assert.throws(() => stratifiedSplit(rare, request(5), []), /every training holds every class/);
});

Deno.test("writeSplit() and readSplit() keep folds, also those dealt again", () =>
  inFolder(async (folder) => {
    const path = join(folder, "split.csv");
    for (const [repeats, heldOut] of [[1, 0], [3, 0.2]] as const) {
      const split = stratifiedSplit(manifest, request(4, repeats, heldOut), []);
      await writeSplit(path, split);
      assert.deepEqual(await readSplit(path), split);
    }
    const [header, ...rows] = (await Deno.readTextFile(path)).trim().split("\n");
    assert.match(header!, /,subset,subset_2,subset_3$/);
    assert.match(rows[0]!, /,(fold_[1-4]|test)(,(fold_[1-4]|test)){2}$/);
    for (const wrong of ["fold_0", "fold_01", "fold_x", "train"]) {
      const changed = rows[0]!.replace(/,[^,]+$/, `,${wrong}`);
      await Deno.writeTextFile(path, [header, changed, ...rows.slice(1)].join("\n"));
      await assert.rejects(readSplit(path), DataError, wrong);
    }
  }));

Deno.test("certifySplit() certifies every dealing, and verifyCertificate() sees what was moved in one", () => {
  const asked = request(5, 2, 0.2);
  const split = stratifiedSplit(manifest, asked, []);
  const certificate = certifySplit(split, manifest, [], asked);
  assert.deepEqual(requestOf(JSON.parse(JSON.stringify(certificate))), asked);
  const names = Object.keys(certificate.counts);
  assert.deepEqual([names.length, names[5], names[6]], [11, "test", "fold_1_2"]);
  const verify = (rows: SplitRow[]) => verifyCertificate(certificate, rows, manifest, []);
  assert.deepEqual(verify(split), []);
  const moved = split.map((row, i) => i === 0 ? { ...row, again: ["fold_9" as const] } : row);
  assert.throws(() => verify(moved), /the group S\d+ is in/);
  const swapped = split.map((row) => {
    const to = { fold_1: "fold_2", fold_2: "fold_1" } as Record<string, SplitRow["subset"]>;
    return { ...row, again: row.again!.map((subset) => to[subset] ?? subset) };
  });
  assert.ok(verify(swapped).includes("split_sha256"));
});

Deno.test("readGivenSplit() takes folds of a person's own, and refuses them mixed", () =>
  inFolder(async (folder) => {
    const path = join(folder, "own.csv");
    const fold = ({ group }: { group: string }) => `fold_${Number(group.slice(1)) % 3 + 1}`;
    const text = (subset: typeof fold) =>
      "path,subset\n" + manifest.map((row) => `${row.path},${subset(row)}`).join("\n");
    await put(folder, "own.csv", text(fold));
    const split = await readGivenSplit(path, manifest);
    assert.equal(members(split).length, 3);
    await put(folder, "own.csv", text((row) => fold(row).replace("3", "2")));
    await assert.rejects(
      readGivenSplit(path, manifest),
      /has fold_1 and fold_2 alone[^]*three folds/,
    );
    await put(folder, "own.csv", text((row) => row.group === "S1" ? "train" : fold(row)));
    await assert.rejects(readGivenSplit(path, manifest), /mixes folds with train/);
  }));

Deno.test("foldsAdvice() speaks where few groups of a class are in validation or test, and not of folds", () => {
  const single = stratifiedSplit(manifest, request(0), []);
  assert.match(
    foldsAdvice(single)!,
    /^Few patients[^]*: [12] in validation, [12] in test[^]*folds: 5/,
  );
  const folds = stratifiedSplit(manifest, request(5), []);
  assert.equal(foldsAdvice(folds), null);
  const pure = folds.map((row) => row.subset === "fold_2" ? { ...row, label: "non" } : row);
  assert.match(foldsAdvice(pure)!, /^Without images of one of the classes: fold 2\. An AUC/);
  const many = Array.from({ length: 400 }, (_, i) => manifestRow(i, i % 3 === 0));
  assert.equal(foldsAdvice(stratifiedSplit(many, request(0), [])), null);
});

Deno.test("parseConfig() holds no test out of folds unless asked to, and refuses one or two folds", () => {
  const split = (given: object) => parseConfig({ split: given }).split;
  const heldOut = (given: object) => requestedFractions(split(given))["test"] ?? 0;
  assert.deepEqual([heldOut({}), heldOut({ folds: 5 })], [0.15, 0]);
  assert.equal(heldOut({ folds: 5, test: 0.2 }), 0.2);
  const stored = split({ folds: 5 }); // as config.json has it when folds are taken back
  assert.equal(heldOut({ ...stored, folds: 0 }), 0.15);
  for (const wrong of [{ folds: 2 }, { folds: 2.5 }, { test: 0, train: 0.85 }, { test: 0.2 }]) {
    assert.throws(() => split(wrong), ConfigError, JSON.stringify(wrong));
  }
});
