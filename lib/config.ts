import { z } from "zod";
import { withDefaultFolders } from "./default_folders.ts";
import { ConfigError, DataError } from "./errors.ts";
import { exists, readJson, writeJson } from "./files.ts";
import { runPaths } from "./paths.ts";

const positive = (meaning: string, fallback: number) =>
  z.number().positive().default(fallback).describe(meaning);
const count = (meaning: string, fallback: number, least = 1) =>
  z.int().min(least).default(fallback).describe(meaning);
const monitors = ["val_loss", "val_accuracy", "val_auc"] as const;

/** The architectures that `model.backbone` can name. */
export const BACKBONES = ["resnet50", "efficientnet_lite0"] as const;

/** A quantity of the history that a callback can watch. */
export type Monitor = (typeof monitors)[number];

const dataSchema = z.strictObject({
  folder: z.string().min(1).default("data")
    .describe("Folder that holds one folder per class; relative to the project"),
  classes: z.array(
    z.string().regex(/^(?!\.{1,2}$)[^/\\]+$/, "must be a folder name, without slashes"),
  ).length(2).refine(([negative, positive]) => negative !== positive, {
    error: "must be two different folders",
  })
    .default(["non_globally_sclerotic_glomeruli", "globally_sclerotic_glomeruli"])
    .describe("Class folder names: the negative class, then the positive one"),
  groupPattern: z.string().nullable().default(null).refine(isGroupPattern, {
    error: "must be a regular expression with one capturing group",
  }).describe(
    "Regular expression on an image's path; its first capturing group is the patient or slide " +
      "that must not cross subsets. null: every image is its own group",
  ),
  maxMegapixels: positive("Larger images are refused, in millions of pixels", 100),
});

const splitSchema = z.strictObject({
  train: z.number().gt(0).lt(1).default(0.7).describe("Fraction of the images to learn from"),
  validation: z.number().gt(0).lt(1).default(0.15)
    .describe("Fraction that decides when to stop and which epoch to keep"),
  test: z.number().gt(0).lt(1).default(0.15)
    .describe("Fraction that is looked at once, in section 6"),
}).refine((s) => Math.abs(s.train + s.validation + s.test - 1) < 1e-9, {
  error: "train + validation + test must be 1",
});

const modelSchema = z.strictObject({
  backbone: z.enum(BACKBONES).default("resnet50").describe(
    "Architecture below the head: resnet50, or efficientnet_lite0, which needs about a tenth of " +
      "the arithmetic and whose ImageNet weights are installed with the project",
  ),
  weights: z.string().min(1).default("imagenet").describe(
    'Starting weights of the backbone: "imagenet", "random", or a path, relative to the project, ' +
      "of a Keras file (.h5, .weights.h5, .keras) or of a model folder to train further",
  ),
  unfreezeLast: count("Backbone layers that are trained, counted from the end", 30, 0),
  imageSize: z.int().min(32).max(1024).default(224)
    .describe("Width and height of the model's input, in pixels"),
});

const trainingSchema = z.strictObject({
  epochs: count("Passes over the training images, at most", 25),
  batchSize: count("Images per step", 32),
  learningRate: positive("Adam's step size at the start", 1e-4),
  batchNorm: z.enum(["frozen", "trained"]).default("frozen").describe(
    "BatchNorm inside the unfrozen backbone layers: frozen keeps its moving statistics, trained " +
      "uses and updates batch statistics",
  ),
  warmupEpochs: count(
    "Epochs at the start in which the head alone is trained, so that its random first steps " +
      "disturb no backbone layer; they count as epochs",
    0,
    0,
  ),
  warmupLearningRate: positive("Adam's step size in those epochs", 1e-3),
  classWeights: z.enum(["none", "balanced"]).default("none")
    .describe("balanced: errors on the rarer class weigh more, in proportion"),
  checkpoint: z.strictObject({
    monitor: z.enum(monitors).default("val_loss")
      .describe("The epoch with the best value is the model that is kept"),
  }).prefault({}).describe("Keras ModelCheckpoint(save_best_only=True)"),
  reduceLROnPlateau: z.strictObject({
    monitor: z.enum(monitors).default("val_loss").describe("Watched quantity"),
    factor: z.number().gt(0).lt(1).default(0.1).describe("Multiplies the learning rate"),
    patience: count("Epochs without improvement before it does", 3),
    minDelta: z.number().min(0).default(1e-4).describe("Smaller changes are no improvement"),
    cooldown: count("Epochs to wait after a reduction", 0, 0),
    minLearningRate: z.number().min(0).default(1e-6).describe("Never below this"),
  }).prefault({}).describe("Keras ReduceLROnPlateau"),
  earlyStopping: z.strictObject({
    monitor: z.enum(monitors).default("val_loss").describe("Watched quantity"),
    patience: count("Epochs without improvement before training stops", 18),
    minDelta: z.number().min(0).default(0).describe("Smaller changes are no improvement"),
    restoreBest: z.boolean().default(true).describe("Go back to the best epoch's weights"),
  }).prefault({}).describe("Keras EarlyStopping"),
  cacheMegabytes: count(
    "Memory for the frozen layers' outputs. Above it they are computed anew every epoch",
    4096,
    0,
  ),
});

const evaluationSchema = z.strictObject({
  folder: z.string().min(1).default("data/new")
    .describe("Folder of new images, searched at any depth; relative to the project"),
  acceptConfidence: z.number().min(0.5).max(1).default(0.9)
    .describe("Predictions less probable than this are marked for review by a person"),
});

const configSchema = z.strictObject({
  run: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
    error: "letters, digits, dot, dash and underscore only; 64 at most",
  }).default("default").describe("Name of the run: results/RUN/ and model/RUN/"),
  seed: z.int().min(0).default(42).describe("Of everything random: split, order, weights, dropout"),
  data: dataSchema.prefault({}),
  split: splitSchema.prefault({}),
  model: modelSchema.prefault({}),
  training: trainingSchema.prefault({}),
  evaluation: evaluationSchema.prefault({}),
});

/** Every hyperparameter of a run, validated. Defaults are those of the reference recipe. */
export type Config = z.infer<typeof configSchema>;

/** What a config cell may give: any part of a {@linkcode Config}. */
export type ConfigInput = z.input<typeof configSchema>;

/**
 * Validates a config; what is left out takes its default.
 *
 * @throws {ConfigError} Listing every field that is misspelt, of the wrong type or out of range.
 */
export function parseConfig(input: unknown): Config {
  const parsed = configSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => {
    const keys = issue.code === "unrecognized_keys" ? issue.keys : [];
    const fields = keys.length > 0 ? keys.map((key) => [...issue.path, key]) : [issue.path];
    const names = fields.map((path) => path.join(".") || "config").join(", ");
    return keys.length > 0 ? `${names}: there is no such field` : `${names}: ${issue.message}`;
  });
  throw new ConfigError(
    `The config has ${lines.length === 1 ? "a field" : "fields"} that cannot be used:\n  - ` +
      lines.join("\n  - "),
    "Correct the config cell (or --set); the README lists every field with its default.",
  );
}

/**
 * The config in force for a notebook, written to results/RUN/config.json.
 *
 * A notebook owns the sections that its cell names: they are the defaults with the cell's values,
 * so that a line taken out of the cell is back at its default. All other sections are what the
 * notebooks that own them left in config.json. Folders that are not there yet get their stand-ins
 * (`withDefaultFolders`). Values from the command line (`--data`, `--new`,
 * `--run`, `--set`) win over both.
 *
 * @example
 * ```ts
 * const config = await configure({ run: "default", training: { epochs: 10 } });
 * ```
 * @throws {ConfigError} See {@linkcode parseConfig}.
 */
export async function configure(input: ConfigInput = {}): Promise<Config> {
  const overrides = commandLineOverrides();
  const earlier = await readRunConfig(merge(input, overrides)["run"]);
  const config = await withDefaultFolders(
    parseConfig(merge({ ...earlier, ...input, run: earlier.run }, overrides)),
  );
  await writeJson(runPaths(config.run).config, config);
  return config;
}

/**
 * The config that a run's notebooks left, or the defaults where there is none.
 *
 * @param run Name of the run; `undefined` is the default one.
 * @throws {ConfigError} When it is no name of a run.
 * @throws {DataError} When its config.json is damaged, or of another version of the project.
 */
export async function readRunConfig(run: unknown): Promise<Config> {
  const fallback = parseConfig({ run });
  const path = runPaths(fallback.run).config;
  if (!await exists(path)) return fallback;
  const remedy = "Delete it, then run the notebooks again from 01.";
  const earlier = await readJson(path, remedy);
  try {
    return parseConfig(earlier);
  } catch (cause) {
    const reason = cause instanceof ConfigError ? cause.message.split("\n  What to do")[0] : cause;
    throw new DataError(`${path} is not a config of this version. ${reason}`, remedy, { cause });
  }
}

/**
 * Environment variable through which the command line reaches the notebooks: a JSON object in the
 * form of a {@linkcode ConfigInput}.
 */
export const OVERRIDES_VARIABLE = "GLOMERULI_CONFIG";

function commandLineOverrides(): Record<string, unknown> {
  const text = Deno.env.get(OVERRIDES_VARIABLE);
  if (!text) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // not an object either
  }
  if (isRecord(value)) return value;
  throw new ConfigError(`${OVERRIDES_VARIABLE} is not a JSON object.`, "Unset it.");
}

/** One row of the table of config fields. */
export interface ConfigField {
  /** Dotted path, as `--set` takes it. */
  field: string;
  value: unknown;
  default: unknown;
  meaning: string;
}

/** Every field of a config with its value, default and meaning, in order. */
export function describeConfig(config: Config = parseConfig({})): ConfigField[] {
  const rows: ConfigField[] = [];
  const at = (values: unknown, name: string) => isRecord(values) ? values[name] : undefined;
  const walk = (
    schema: z.core.JSONSchema.BaseSchema,
    values: unknown,
    defaults: unknown,
    path: string[],
  ): void => {
    for (const [name, field] of Object.entries(schema.properties ?? {})) {
      if (typeof field === "boolean") continue;
      const [value, fallback] = [at(values, name), at(defaults, name)];
      if (field.properties) walk(field, value, fallback, [...path, name]);
      else {
        rows.push({
          field: [...path, name].join("."),
          value,
          default: fallback,
          meaning: field.description ?? "",
        });
      }
    }
  };
  walk(z.toJSONSchema(configSchema, { io: "input" }), config, parseConfig({}), []);
  return rows;
}

/**
 * One `--set FIELD=VALUE` as a config part. The value is read as JSON where it is JSON, else as
 * text; whether the field exists is for {@linkcode parseConfig} to say.
 *
 * @throws {ConfigError} When there is no `=` or no field before it.
 */
export function parseAssignment(text: string): Record<string, unknown> {
  const at = text.indexOf("=");
  if (at < 1) {
    throw new ConfigError(
      `--set ${text}: a field and a value are needed.`,
      "Write it as --set training.epochs=3.",
    );
  }
  let value: unknown = text.slice(at + 1);
  try {
    value = JSON.parse(text.slice(at + 1));
  } catch {
    // not JSON: plain text, as in --set model.weights=random
  }
  return text.slice(0, at).split(".").reduceRight<unknown>(
    (inner, key) => ({ [key]: inner }),
    value,
  ) as Record<string, unknown>;
}

/** `change` laid over `base`, object by object; neither is altered. */
export function merge(
  base: Readonly<Record<string, unknown>>,
  change: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(change)) {
    const old = Object.hasOwn(result, key) ? result[key] : undefined;
    result[key] = isRecord(old) && isRecord(value) ? merge(old, value) : value;
  }
  return result;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether a text can be a `data.groupPattern`: a regular expression with one capturing group. */
export function isGroupPattern(pattern: string | null): boolean {
  if (pattern === null) return true;
  try {
    return (new RegExp(`${pattern}|`).exec("")?.length ?? 1) - 1 === 1;
  } catch {
    return false;
  }
}
