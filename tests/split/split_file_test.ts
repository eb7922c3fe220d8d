import fc from "fast-check";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { DataError } from "../../lib/core/errors.ts";
import {
  certifySplit,
  verifyCertificate,
  writeCertificate,
} from "../../lib/run/split_certificate.ts";
import {
  groupWarning,
  readSplit,
  type SplitRow,
  splitText,
  SUBSETS,
  writeSplit,
} from "../../lib/run/split_file.ts";
import { readGivenSplit, stratifiedSplit } from "../../lib/split/split.ts";
import { inFolder, put } from "../data/test_images.ts";
import { manifestRow } from "./manifest_rows.ts";

const fractions = { train: 0.6, validation: 0.2, test: 0.2 };

const requested = { seed: 42, fractions, repeats: 1 };

const manifest = [
  ...Array.from({ length: 60 }, (_, i) => manifestRow(i, i % 4 === 0, `S${i % 9}`)),
  { ...manifestRow(60, true, "S1"), status: "unreadable: the file is empty (0 bytes)." },
];

const [a, b, c] = [manifest[0]!, manifest[1]!, manifest[2]!];

const pairs: [string, string][] = [[a.path, b.path]];

const split = stratifiedSplit(manifest, { fractions, seed: 42 }, pairs);

/** The split with some rows changed. */
const changed = (change: (row: SplitRow) => Partial<SplitRow>): SplitRow[] =>
  split.map((row) => ({ ...row, ...change(row) }));

Deno.test("certifySplit() states what was asked for, what came out, and that nothing crosses", () => {
  const certificate = certifySplit(split, manifest, pairs, requested);
  assert.deepEqual(certificate.fractions_requested, fractions);
  const achieved = Object.values(certificate.fractions_achieved);
  assert(Math.abs(achieved.reduce((x, y) => x + y) - 1) < 1e-12);
  const counted = Object.values(certificate.counts).flatMap((counts) => Object.values(counts));
  assert.equal(counted.reduce((x, y) => x + y), 60);
  assert.equal(Object.values(certificate.groups).reduce((x, y) => x + y), 9);
  const { groups_crossing, duplicates_crossing, near_duplicates_crossing } = certificate;
  assert.deepEqual([groups_crossing, duplicates_crossing, near_duplicates_crossing], [[], [], []]);
  assert.deepEqual([certificate.near_duplicate_pairs, certificate.note], [1, null]);
  const reversed = certifySplit(split.toReversed(), manifest.toReversed(), pairs, requested);
  assert.deepEqual(reversed, certificate);
});

Deno.test("certifySplit() refuses groups, duplicates and near-duplicates that cross", () => {
  const other = (row: SplitRow) => row.subset === "train" ? "test" : "train";
  const rejects = (run: () => unknown, message: RegExp) =>
    assert.throws(run, { name: DataError.name, message });
  const moved = changed((row) => row.path === c.path ? { subset: other(row) } : {});
  rejects(() => certifySplit(moved, manifest, pairs, requested), /the group S2 is in/);

  const apart = split.find(({ subset }, i) => i > 0 && subset !== split[0]!.subset)!;
  const near: [string, string][] = [[split[0]!.path, apart.path]];
  rejects(
    () => certifySplit(split, manifest, near, requested),
    /leaks between its subsets, 1 time:\n {2}- near-duplicates: "non/,
  );

  const sameBytes = (row: { path: string }) =>
    [split[0]!.path, apart.path].includes(row.path) ? { sha256: "f".repeat(64) } : {};
  const copied = manifest.map((row) => ({ ...row, ...sameBytes(row) }));
  rejects(
    () => certifySplit(changed(sameBytes), copied, pairs, requested),
    /the same file: "non[^"]+" is in \w+, "non[^"]+" in \w+/,
  );
});

Deno.test("certifySplit() refuses a split of other images than the manifest's", () => {
  const certify = (rows: SplitRow[]) => () => certifySplit(rows, manifest, pairs, requested);
  assert.throws(certify(split.slice(1)), /in the manifest alone/);
  assert.throws(certify(split.slice(30)), /"] is in the manifest alone\n {2}… and 10 more/);
  assert.throws(certify([...split, split[0]!]), /twice/);
  assert.throws(certify([...split, { ...split[0]!, path: "non/new.png" }]), /in the split alone/);
  assert.throws(certify(changed(({ path }) => path === c.path ? { label: "x" } : {})), /alone/);
});

Deno.test("verifyCertificate() accepts what was certified and names what was altered", () =>
  inFolder(async (folder) => {
    const path = join(folder, "split_certificate.json");
    const csv = join(folder, "split.csv");
    await writeCertificate(path, certifySplit(split, manifest, pairs, requested));
    await writeSplit(csv, split);
    const certificate = JSON.parse(await Deno.readTextFile(path));
    const rows = await readSplit(csv);
    assert.deepEqual(verifyCertificate(certificate, rows, manifest, pairs), []);
    const bytes = await Deno.readFile(csv);
    assert.equal(certificate.split_sha256, createHash("sha256").update(bytes).digest("hex"));

    const swap = { train: "train", validation: "test", test: "validation" } as const;
    const swapped = changed(({ subset }) => ({ subset: swap[subset as "train"] }));
    const fields = verifyCertificate(certificate, swapped, manifest, pairs);
    assert(fields.includes("split_sha256"), fields.join());
    const edited = manifest.map((row, i) => i === 5 ? { ...row, dhash: "0".repeat(16) } : row);
    assert.deepEqual(verifyCertificate(certificate, rows, edited, pairs), ["manifest_sha256"]);
    assert.deepEqual(verifyCertificate(certificate, rows, manifest, []), [
      "near_duplicate_pairs",
      "near_duplicates_sha256",
    ]);
    const boasting = { ...certificate, note: "perfect", extra: 1 };
    assert.deepEqual(verifyCertificate(boasting, rows, manifest, pairs), ["note", "extra"]);
    const notOne = [{}, null, [], "yes", { ...certificate, source: "found" }, {
      ...certificate,
      fractions_requested: { train: "0.6", validation: 0.2, test: 0.2 },
    }, { ...certificate, seed: null }];
    for (const value of notOne) {
      assert.throws(() => verifyCertificate(value, rows, manifest, pairs), DataError);
    }
  }));

Deno.test("groupWarning() warns only where every image is its own group", () => {
  assert.equal(groupWarning(split), null);
  assert.match(groupWarning([manifestRow(1, true)])!, /^No groups: [^\n]+$/);
});

Deno.test("readSplit() returns what writeSplit() wrote, and refuses unknown subsets", () =>
  inFolder(async (folder) => {
    const path = join(folder, "split.csv");
    const hostile = { ...split[0]!, path: '=non/"a,\nb".png' };
    await writeSplit(path, [hostile, ...split]);
    assert.match(await Deno.readTextFile(path), /^path,label,group,sha256,subset\n"'=non/);
    assert.deepEqual(await readSplit(path), [hostile, ...split]);
    await Deno.writeTextFile(path, "path,label,group,sha256,subset\na,b,c,d,training\n");
    await assert.rejects(
      readSplit(path),
      /row 1: "training" is not one of train, validation, test/,
    );
    await Deno.writeTextFile(path, "path,label\na,b\n");
    await assert.rejects(readSplit(path), /lacks the column/);
  }));

const used = manifest.slice(0, 60);

const made = stratifiedSplit(used, { fractions, seed: 1 }, []);

/** What a person writes: of each row `path,subset`, and further columns. */
const csv = (rows: readonly object[]) =>
  [Object.keys(rows[0]!), ...rows.map((row) => Object.values(row))].join("\n");

const given = async (rows: readonly object[], images = used) => {
  let split: SplitRow[] = [];
  await inFolder(async (folder) => {
    await put(folder, "mine.csv", csv(rows));
    split = await readGivenSplit(join(folder, "mine.csv"), images);
  });
  return split;
};

Deno.test("readGivenSplit() reads back every split that was written", () =>
  fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const split = stratifiedSplit(used, { fractions, seed }, []);
      await inFolder(async (folder) => {
        await writeSplit(join(folder, "split.csv"), split);
        const again = await readGivenSplit(join(folder, "split.csv"), used.toReversed());
        assert.equal(splitText(again), splitText(split));
      });
    }),
    { seed: 1, numRuns: 20 },
  ));

Deno.test("readGivenSplit() accepts val for validation, rows in any order, images not in use", async () => {
  const rows = made.toReversed().map(({ path, subset }) => ({
    path: `.\\${path.replace("/", "\\")}`,
    subset: subset === "validation" ? "Val" : subset,
  }));
  const broken = { ...manifestRow(99, true, "S1"), status: "unreadable: …" };
  const split = await given([...rows, { path: broken.path, subset: "test" }], [...used, broken]);
  assert.equal(splitText(split), splitText(made));
});

Deno.test("readGivenSplit() lists everything that is wrong", async () => {
  const rows = made.map(({ path, subset }) => ({ path, subset: subset as string }));
  const [first, second, third] = rows as [typeof rows[0], typeof rows[0], typeof rows[0]];
  const wrong = [
    ...[second, { ...third, subset: "holdout" }, ...rows.slice(3)],
    ...[{ ...second, subset: "train" }, { path: "x.png", subset: "test" }],
  ];
  const { message } = await given(wrong).then(() => assert.fail("accepted"), (e: DataError) => e);
  for (
    const text of [
      'mine.csv" has 4 problems',
      `"${first.path}" has no row`,
      `"${second.path}": this image has a row already`,
      `"${third.path}": "holdout" is no subset`,
      `"x.png": there is no such image`,
    ]
  ) assert.ok(message.includes(text), `${text} in ${message}`);
  const refuses = (columns: object, message: RegExp) =>
    assert.rejects(given(rows.map((row) => ({ ...row, ...columns }))), message);
  await refuses({ label: "non" }, /its label is "sclerotic", not "non"/);
  await refuses({ group: "S1" }, /its group is "S0", not "S1"/);
  await refuses({ sha256: "abc" }, /has 60 problems[^]*the file has other content[^]*and 40 more/);
  await refuses({ subset: "train" }, /a subset lacks a class/);
});

Deno.test("certifySplit() certifies a given split, and refuses one that leaks", () => {
  const certificate = certifySplit(made, used, [], null);
  const { source, seed, fractions_requested } = certificate;
  assert.deepEqual([source, seed, fractions_requested], ["given", null, null]);
  assert.deepEqual(verifyCertificate(certificate, made, used, []), []);
  const leaking = made.map((row, i) =>
    i === 0 ? { ...row, subset: row.subset === "test" ? "train" as const : "test" as const } : row
  );
  assert.throws(
    () => certifySplit(leaking, used, [], null),
    /the group S\d is in [^]*Correct your split file/,
  );
  // every image in another subset than the one before: all nine groups cross, and all are named
  const scattered = made.map((row, i) => ({ ...row, subset: SUBSETS[i % 3]! }));
  const certify = () => certifySplit(scattered, used, [], null);
  assert.throws(certify, /leaks between its subsets, 9 times/);
  for (let i = 0; i < 9; i++) assert.throws(certify, new RegExp(`the group S${i} is in `));
});
