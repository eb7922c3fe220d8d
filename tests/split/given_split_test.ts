import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { DataError } from "../../lib/core/errors.ts";
import {
  certifySplit,
  splitText,
  SUBSETS,
  verifyCertificate,
  writeSplit,
} from "../../lib/run/split_file.ts";
import { readGivenSplit, stratifiedSplit } from "../../lib/split/split.ts";
import { inFolder, put } from "../data/test_images.ts";
import { manifestRow } from "./manifest_rows.ts";

const fractions = { train: 0.6, validation: 0.2, test: 0.2 };

const manifest = Array.from({ length: 60 }, (_, i) => manifestRow(i, i % 4 === 0, `S${i % 9}`));

const made = stratifiedSplit(manifest, fractions, 1, []);

const given = async (text: string) => {
  let split: Awaited<ReturnType<typeof readGivenSplit>> = [];
  await inFolder(async (folder) => {
    await put(folder, "mine.csv", text);
    split = await readGivenSplit(join(folder, "mine.csv"), manifest);
  });
  return split;
};

const csv = (rows: readonly { path: string; subset: string }[]) =>
  `path,subset\n${rows.map(({ path, subset }) => `${path},${subset}`).join("\n")}\n`;

Deno.test("readGivenSplit() reads back every split that was written", () =>
  fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const split = stratifiedSplit(manifest, fractions, seed, []);
      await inFolder(async (folder) => {
        await writeSplit(join(folder, "split.csv"), split);
        const again = await readGivenSplit(join(folder, "split.csv"), manifest.toReversed());
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
  await inFolder(async (folder) => {
    await put(folder, "mine.csv", csv([...rows, { path: broken.path, subset: "test" }]));
    const split = await readGivenSplit(join(folder, "mine.csv"), [...manifest, broken]);
    assert.equal(splitText(split), splitText(made));
  });
});

Deno.test("readGivenSplit() lists everything that is wrong", async () => {
  const rows = made.map(({ path, subset }) => ({ path, subset: subset as string }));
  const [first, second, third] = rows as [typeof rows[0], typeof rows[0], typeof rows[0]];
  const wrong = [...rows.slice(1), { ...second, subset: "train" }, {
    path: "x.png",
    subset: "test",
  }];
  wrong[1] = { ...third, subset: "holdout" };
  await assert.rejects(given(csv(wrong)), (error: unknown) => {
    assert(error instanceof DataError);
    for (
      const text of [
        `"${first.path}" has no row`,
        `"${second.path}": this image has a row already`,
        `"${third.path}": "holdout" is no subset`,
        `"x.png": there is no such image`,
      ]
    ) assert.ok(error.message.includes(text), `${text} in ${error.message}`);
    return true;
  });
  await assert.rejects(given(csv(wrong)), /mine\.csv" has 4 problems/);
  const mislabelled = `path,subset,label\n${
    made.map(({ path, subset }) => `${path},${subset},non`).join("\n")
  }\n`;
  await assert.rejects(given(mislabelled), /its label is "sclerotic", not "non"/);
  const regrouped = `path;subset;group\n${
    made.map(({ path, subset }) => `${path};${subset};S1`).join("\n")
  }\n`;
  await assert.rejects(given(regrouped), /its group is "S0", not "S1"/);
  const edited = `path,subset,sha256\n${
    made.map(({ path, subset }) => `${path},${subset},abc`).join("\n")
  }\n`;
  await assert.rejects(
    given(edited),
    /has 60 problems[^]*the file has other content[^]*and 40 more/,
  );
  const allInTrain = made.map(({ path }) => ({ path, subset: "train" }));
  await assert.rejects(given(csv(allInTrain)), /a subset lacks a class/);
});

Deno.test("certifySplit() certifies a given split, and refuses one that leaks", () => {
  const certificate = certifySplit(made, manifest, [], null);
  assert.deepEqual(
    [certificate.source, certificate.seed, certificate.fractions_requested],
    ["given", null, null],
  );
  assert.deepEqual(verifyCertificate(certificate, made, manifest, []), []);
  const leaking = made.map((row, i) =>
    i === 0 ? { ...row, subset: row.subset === "test" ? "train" as const : "test" as const } : row
  );
  assert.throws(
    () => certifySplit(leaking, manifest, [], null),
    /the group S\d is in [^]*Correct your split file/,
  );
  // every image in another subset than the one before: all nine groups cross, and all are named
  const scattered = made.map((row, i) => ({ ...row, subset: SUBSETS[i % 3]! }));
  assert.throws(() => certifySplit(scattered, manifest, [], null), (error: unknown) => {
    assert(error instanceof DataError);
    assert.match(error.message, /leaks between its subsets, 9 times/);
    for (let i = 0; i < 9; i++) assert.match(error.message, new RegExp(`the group S${i} is in `));
    return true;
  });
});
