import assert from "node:assert/strict";
import { join } from "node:path";
import {
  describeConfig,
  merge,
  OVERRIDES_VARIABLE,
  parseAssignment,
  parseConfig,
} from "../../lib/core/config.ts";
import { ConfigError } from "../../lib/core/errors.ts";
import type { ConfigInput } from "../../lib/core/settings.ts";
import { inProjectCopy, type ProjectCopy } from "../copy_project.ts";
import { put } from "../data/test_images.ts";

Deno.test("parseConfig() has the recipe that generalised best as its defaults", () => {
  assert.deepEqual(parseConfig({}), {
    run: "default",
    seed: 42,
    data: {
      folder: "data",
      followLinks: false,
      classes: ["non_globally_sclerotic_glomeruli", "globally_sclerotic_glomeruli"],
      groupPattern: null,
      maxMegapixels: 100,
      audit: {
        ...{ duplicate: "drop", conflictingLabels: "drop", nearDuplicate: "warn" },
        ...{ conflictingNearDuplicate: "warn", wrongExtension: "keep", unusualMode: "warn" },
        ...{ sizeOutlier: "warn", aspectOutlier: "warn", blurred: "warn", tooDark: "warn" },
        ...{ tooBright: "warn", nearlyUniform: "warn", emptyMargin: "warn" },
      },
    },
    split: { folds: 0, repeats: 1, train: 0.7, validation: 0.15, test: null, file: null },
    model: {
      backbone: "resnet50",
      weights: "imagenet",
      unfreezeLast: 30,
      attention: "none",
      head: { units: [512, 256], dropout: [0.4, 0.3] },
      imageSize: 224,
      resize: "squash",
      stainNormalisation: "none",
    },
    training: {
      ...{ epochs: 25, batchSize: 32, learningRate: 1e-4, backboneRate: 1, batchNorm: "frozen" },
      ...{ warmupEpochs: 0, warmupLearningRate: 1e-3, classWeights: "none", sampling: "natural" },
      augmentation: {
        ...{ symmetries: false, rotation: 0, scale: 0, shift: 0, brightness: 0, contrast: 0 },
        ...{ stain: 0, stains: "pas_hematoxylin", blur: 0, jpegQuality: 100, cutOut: 0 },
      },
      checkpoint: { monitor: "val_loss", minutes: 10 },
      reduceLROnPlateau: {
        ...{ monitor: "val_loss", factor: 0.1, patience: 3, minDelta: 1e-4, cooldown: 0 },
        minLearningRate: 1e-6,
      },
      earlyStopping: { monitor: "val_loss", patience: 18, minDelta: 0, restoreBest: true },
      ...{ cacheMegabytes: 64, cacheGigabytes: 20, cachedViews: 8, pixelCacheMegabytes: 2048 },
      ...{ startAnew: false, logs: "none" },
    },
    metrics: {
      calibration: "auto",
      threshold: { rule: "costs", sensitivity: 0.95, falseNegativeCost: 1, falsePositiveCost: 1 },
      acceptErrorRate: 0.05,
      testTimeAugmentation: false,
      flagShare: 0.01,
      references: [],
    },
    evaluation: { folder: "data/new", followLinks: false, priorShift: "auto" },
  });
  const of = (augmentation: "none" | "safe") =>
    parseConfig({ training: { augmentation } }).training.augmentation;
  assert.deepEqual(of("none"), parseConfig({}).training.augmentation);
  assert.deepEqual(of("safe"), { ...of("none"), symmetries: true, stain: 0.2 });
});

/** The lines of the error, one a field. */
function complaints(input: unknown): string[] {
  try {
    parseConfig(input);
  } catch (error) {
    assert(error instanceof ConfigError, String(error));
    assert.match(error.remedy, /docs\/settings\.md/);
    return error.what.split("\n").filter((line) => line.startsWith("  - "))
      .map((line) => line.slice(4));
  }
  throw new Error(`${JSON.stringify(input)} was accepted`);
}

Deno.test("parseConfig() lists every field that is misspelt, of the wrong type or out of range", () => {
  const lines = complaints({
    sed: 1,
    training: { epoch: 3, batchsize: 4, learningRate: "fast", earlyStopping: { patience: 0 } },
    model: { imageSize: 31, backbone: "vgg16" },
    split: { train: 0.5 },
  });
  const expected = [
    /^sed: there is no such field$/,
    /^training\.epoch, training\.batchsize: there is no such field$/,
    /^training\.learningRate: .*expected number, received string/,
    /^training\.earlyStopping\.patience: .*>=1/,
    /^model\.imageSize: .*>=32/,
    /^model\.backbone: .*"resnet50"/,
    /^split: train \+ validation \+ test must be 1$/,
  ];
  assert.equal(lines.length, expected.length, lines.join("\n"));
  for (const pattern of expected) {
    assert(lines.some((line) => pattern.test(line)), `${pattern} in\n${lines.join("\n")}`);
  }
});

Deno.test("parseConfig() refuses values out of range, each by name", () => {
  const assignments = `seed=-1 seed=1.5 data.maxMegapixels=0 data.folder= data.classes=["a"]
    data.classes=["a","a"] data.groupPattern=( data.groupPattern=slide data.groupPattern=(a)(b)
    model.unfreezeLast=-1 model.imageSize=4096 training.epochs=0 training.learningRate=0
    training.checkpoint.monitor=loss training.reduceLROnPlateau.factor=1 training=null
    metrics.calibration=isotonic metrics.threshold.sensitivity=0 metrics.acceptErrorRate=0
    metrics.threshold.falseNegativeCost=0 metrics.acceptErrorRate=0.5 metrics.flagShare=0
    metrics.flagShare=0.6 metrics.testTimeAugmentation=8`.split(/\s+/);
  const reference = { name: "a", score: "f1", value: 1, note: "b" };
  const cases: [string, unknown][] = [
    ...assignments.map((text): [string, unknown] => [text.split("=")[0]!, parseAssignment(text)]),
    ["data.classes.0", { data: { classes: ["..", "a"] } }],
    ["data.classes.1", { data: { classes: ["a", "b/../../c"] } }],
    ["split", { split: { train: 0.8, validation: 0.15, test: 0.15 } }],
    ["split.train", { split: { train: 1, validation: 0, test: 0 } }],
    ["model.attention", { model: { attention: "full" } }],
    ["model.head.units.0", { model: { head: { units: [0], dropout: [0] } } }],
    ["model.head.dropout.0", { model: { head: { units: [8], dropout: [1] } } }],
    ["model.head.dropout", { model: { head: { units: [] } } }],
    ["training.learningRate", { training: { learningRate: Infinity } }],
    ["training.learningRate", { training: { learningRate: NaN } }],
    ["metrics.references.0.note", { metrics: { references: [{ ...reference, note: undefined }] } }],
    ["metrics.references.0.score", { metrics: { references: [{ ...reference, score: "F1" }] } }],
    ["config", []],
    ["config", null],
  ];
  for (const [field, input] of cases) {
    const names = complaints(input).map((line) => line.split(":")[0]);
    assert.ok(names.includes(field), `${field} in ${names} for ${JSON.stringify(input)}`);
  }
});

Deno.test("parseConfig() takes no run name that leads out of results/ and model/", () => {
  for (const run of ["../x", "..", ".", "a/b", "a\\b", "", "-x", ".x", "a b", "a\n", "é", "a\0"]) {
    assert.deepEqual(complaints({ run }).map((line) => line.split(":")[0]), ["run"], run);
  }
  assert.equal(complaints({ run: "a".repeat(65) }).length, 1);
  for (const run of ["a", "2024-05_PAS.v2", "a".repeat(64)]) {
    assert.equal(parseConfig({ run }).run, run);
  }
});

Deno.test("describeConfig() has a row with a meaning for every field, and its value", () => {
  const leaves = (value: unknown, path: string[]): string[] =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.entries(value).flatMap(([name, inner]) => leaves(inner, [...path, name]))
      : [path.join(".")];
  const rows = describeConfig(parseConfig({ training: { epochs: 3 } }));
  assert.deepEqual(rows.map(({ field }) => field), leaves(parseConfig({}), []));
  for (const { field, meaning } of rows) assert.ok(meaning.length > 5, field);
  const shown = (name: string) => {
    const { value, default: usual } = rows.find(({ field }) => field === name)!;
    return [value, usual];
  };
  assert.deepEqual(shown("training.epochs"), [3, 25]);
  assert.deepEqual(shown("data.groupPattern"), [null, null]);
});

Deno.test("parseAssignment() reads JSON where it is JSON, else text", () => {
  const cases: [string, unknown][] = [
    ["seed=7", { seed: 7 }],
    ["training.epochs=3", { training: { epochs: 3 } }],
    ["model.weights=random", { model: { weights: "random" } }],
    ["data.groupPattern=null", { data: { groupPattern: null } }],
    ["data.groupPattern=(S\\d+)=", { data: { groupPattern: "(S\\d+)=" } }],
    ['data.classes=["a","b"]', { data: { classes: ["a", "b"] } }],
    ["run=", { run: "" }],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parseAssignment(text), expected);
  for (const text of ["seed", "=3", ""]) assert.throws(() => parseAssignment(text), ConfigError);
  assert.throws(() => parseConfig(parseAssignment("training.epoch=3")), /training\.epoch/);
});

Deno.test("merge() lays one object over another and alters neither", () => {
  const base = { a: 1, b: { c: 2, d: [1, 2], e: { f: 3 } } };
  const change = { b: { c: null, d: [3], e: { g: 4 } }, h: { i: 5 } };
  const [before, changeBefore] = [structuredClone(base), structuredClone(change)];
  assert.deepEqual(merge(base, change), {
    a: 1,
    b: { c: null, d: [3], e: { f: 3, g: 4 } },
    h: { i: 5 },
  });
  assert.deepEqual([base, change], [before, changeBefore]);
  assert.deepEqual(merge({ a: { b: 1 } }, { a: 2 }), { a: 2 });
});

Deno.test("merge() and parseConfig() let no input reach the prototype of all objects", () => {
  for (const text of ["__proto__.polluted=1", "constructor.prototype.polluted=1"]) {
    const input = merge({ training: {} }, parseAssignment(text));
    merge(merge({}, input), input);
    assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
    assert.match(complaints(input).join(), /there is no such field/);
  }
  assert.match(complaints(merge({}, parseAssignment("__proto__.seed=7"))).join(), /__proto__/);
});

type ConfigModule = typeof import("../../lib/core/config.ts");

/** Declares a test of `configInForce` in a project of its own, by itself on the command line. */
function test(
  name: string,
  body: (
    configure: ConfigModule["configInForce"],
    saved: (run?: string) => Promise<unknown>,
    project: ProjectCopy,
  ) => Promise<void>,
): void {
  Deno.test(name, () =>
    inProjectCopy(async (project) => {
      const before = Deno.env.get(OVERRIDES_VARIABLE);
      Deno.env.delete(OVERRIDES_VARIABLE);
      await Deno.mkdir(join(project.root, "data/new"), { recursive: true }); // no stand-in
      const { configInForce: configure } = await project.load<ConfigModule>("lib/core/config.ts");
      const saved = async (run = "default") =>
        JSON.parse(await Deno.readTextFile(join(project.root, "results", run, "config.json")));
      try {
        await body(configure, saved, project);
      } finally {
        if (before === undefined) Deno.env.delete(OVERRIDES_VARIABLE);
        else Deno.env.set(OVERRIDES_VARIABLE, before);
      }
    }));
}

test(
  "configInForce() writes the config in force and keeps sections that others own",
  async (configure, saved) => {
    const first = await configure({ seed: 7, training: { epochs: 3, batchSize: 8 } });
    assert.deepEqual(first, parseConfig({ seed: 7, training: { epochs: 3, batchSize: 8 } }));
    assert.deepEqual(await saved(), first);
    const second = await configure({ model: { imageSize: 64 } });
    assert.deepEqual(second, { ...first, model: { ...first.model, imageSize: 64 } });
    assert.deepEqual(await saved(), second);
    assert.deepEqual(await configure({ run: "other" }), parseConfig({ run: "other" }));
    assert.deepEqual(await saved(), second);
  },
);

test("configInForce() puts a line that was taken out of a cell back at its default", async (configure) => {
  await configure({ training: { epochs: 3, earlyStopping: { patience: 2, minDelta: 0.1 } } });
  const { training } = await configure({ training: { earlyStopping: { patience: 4 } } });
  assert.equal(training.epochs, 25);
  const { earlyStopping } = parseConfig({}).training;
  assert.deepEqual(training.earlyStopping, { ...earlyStopping, patience: 4 });
});

test(
  "configInForce() lets the command line win, over the run's name too",
  async (configure, saved) => {
    await configure({ run: "mine", training: { epochs: 9 } });
    const theirs = { run: "theirs", training: { epochs: 2 }, model: { weights: "random" } };
    Deno.env.set(OVERRIDES_VARIABLE, JSON.stringify(theirs));
    const config = await configure({ run: "mine", training: { epochs: 5, batchSize: 4 } });
    assert.deepEqual(config, parseConfig(merge(theirs, { training: { batchSize: 4 } })));
    assert.deepEqual(await saved("theirs"), config);
    assert.equal((await saved("mine") as typeof config).training.epochs, 9);
  },
);

test(
  "configInForce() refuses what it cannot use and writes nothing then",
  async (configure, saved, { root }) => {
    const good = await configure({ seed: 1 });
    const refused = (input: unknown, name: string, message: RegExp) =>
      assert.rejects(configure(input as ConfigInput), { name, message });
    await refused({ training: { epoch: 3 } }, "ConfigError", /training\.epoch: there is no such/);
    await refused({ run: "../x" }, "ConfigError", /run: letters, digits/);
    assert.deepEqual(await saved(), good);
    for (const text of ["[]", "3", "{", "nonsense"]) {
      Deno.env.set(OVERRIDES_VARIABLE, text);
      await refused({}, "ConfigError", /GLOMERULI_CONFIG is not a JSON object/);
    }
    Deno.env.set(OVERRIDES_VARIABLE, '{"run":"../../x"}');
    await refused({ run: "mine" }, "ConfigError", /run: letters, digits/);
    Deno.env.delete(OVERRIDES_VARIABLE);

    const folders = await Array.fromAsync(Deno.readDir(join(root, "results")));
    assert.deepEqual(folders.map(({ name }) => name), ["default"]);
    for (const text of ["{", "[]", '{"fields":"of another version"}']) {
      await put(root, "results/default/config.json", text);
      await refused({}, "DataError", /results\/default\/config\.json is not .*Delete it/s);
    }
  },
);
