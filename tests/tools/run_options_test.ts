import assert from "node:assert/strict";
import { ConfigError, DataError } from "../../lib/core/errors.ts";
import { checkFolders, parseRunOptions } from "../../tools/run.ts";
import { buildOverrides } from "../../tools/summary.ts";
import { inFolder } from "../data/test_images.ts";

Deno.test("parseRunOptions() runs all notebooks when nothing is asked for", () => {
  assert.deepEqual(parseRunOptions([], "/home/me"), { help: false, set: [], from: 1, to: 7 });
});

Deno.test("parseRunOptions() takes relative folders from where the command was typed", () => {
  const options = parseRunOptions(["--data", "../crops", "--new=/tmp/new"], "/home/me/project");
  assert.deepEqual([options.data, options.new], ["/home/me/crops", "/tmp/new"]);
});

Deno.test("parseRunOptions() reads numbers with or without the zero, and repeated --set", () => {
  const args = ["--from", "04", "--to", "6", "--set", "seed=1", "--set", "run=a", "--run", "b"];
  const expected = { help: false, run: "b", set: ["seed=1", "run=a"], from: 4, to: 6 };
  assert.deepEqual(parseRunOptions(["--", ...args], "/"), expected);
});

Deno.test("parseRunOptions() refuses what makes no sense, naming it", () => {
  const cases: [string[], RegExp][] = [
    [["--epochs", "3"], /--epochs/],
    [["--data"], /--data/],
    [["--data="], /--data needs a folder/],
    [["crops"], /crops/],
    [["--from", "8"], /--from 8/],
    [["--to", "04_model"], /--to 04_model/],
    [["--from", "05", "--to", "02"], /comes after/],
  ];
  for (const [args, message] of cases) {
    assert.throws(() => parseRunOptions(args, "/"), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("checkFolders() refuses a folder that is not there and a file", async () => {
  await inFolder(async (folder) => {
    await checkFolders({ data: folder });
    await assert.rejects(checkFolders({ data: `${folder}/no` }), DataError);
    await Deno.writeTextFile(`${folder}/file`, "");
    await assert.rejects(checkFolders({ new: `${folder}/file` }), /is a file/);
  });
});

Deno.test("buildOverrides() gives only what was asked for, validated", () => {
  const { input, config } = buildOverrides({
    data: "/crops",
    run: "b",
    set: ["training.epochs=3", "training.batchSize=8", "run=a", "data.maxMegapixels=9"],
  });
  assert.deepEqual(input, {
    run: "b",
    data: { folder: "/crops", maxMegapixels: 9 },
    training: { epochs: 3, batchSize: 8 },
  });
  assert.equal(config.training.epochs, 3);
  assert.equal(config.split.train, 0.7);
  assert.throws(() => buildOverrides({ set: ["trainig.epochs=3"] }), /trainig/);
  assert.throws(() => buildOverrides({ set: ["training.epochs=no"] }), /training\.epochs/);
});
