import { z } from "zod";
import { ConfigError, DataError, reasonOf } from "./errors.ts";
import { exists, readJson, writeJson } from "./files.ts";
import { fromRoot, holdsImages, runPaths, SAMPLE_FOLDER } from "./paths.ts";
import { type Config, type ConfigInput, configSchema } from "./settings.ts";

/**
 * Validates a config; what is left out takes its default.
 *
 * @throws {ConfigError} Listing every field that is misspelt, of the wrong type or out of range.
 */
export function parseConfig(input: unknown): Config {
  const parsed = configSchema.safeParse(input);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map((issue) => {
    if (issue.code !== "unrecognized_keys") {
      return `${issue.path.join(".") || "config"}: ${issue.message}`;
    }
    const names = issue.keys.map((key) => [...issue.path, key].join("."));
    return `${names.join(", ")}: there is no such field`;
  });
  throw new ConfigError(
    `The config has fields that cannot be used:\n  - ${lines.join("\n  - ")}`,
    "Correct the config cell (or --set); docs/settings.md lists every field with its default.",
  );
}

/**
 * The config in force for a notebook, written to results/RUN/config.json.
 *
 * A notebook owns the sections that its cell names: they are the defaults with the cell's values,
 * so that a line taken out of the cell is back at its default. All other sections are what other
 * notebooks left in config.json. Missing folders get their stand-ins ({@linkcode withDefaultFolders}).
 * Values from the command line (`--data`, `--new`, `--run`, `--set`) win over both.
 *
 * A run that a notebook names is remembered for those that name none, in other kernels too. One that
 * the command line names is that command's alone.
 *
 * @example
 * ```ts
 * const config = await configInForce({ run: "mine", training: { epochs: 10 } });
 * ```
 * @throws {ConfigError} See {@linkcode parseConfig}.
 */
export async function configInForce(input: ConfigInput = {}): Promise<Config> {
  const overrides = commandLineOverrides();
  const named = merge(input, overrides)["run"] ?? await rememberedRun();
  const earlier = await readRunConfig(named);
  const config = await withDefaultFolders(
    parseConfig(merge({ ...earlier, ...input, run: earlier.run }, overrides)),
  );
  await writeJson(runPaths(config.run).config, config);
  if (input.run !== undefined && !Object.hasOwn(overrides, "run")) {
    await writeJson(CURRENT_RUN, { run: config.run });
  }
  return config;
}

/** Where the name of the run that a notebook named last is remembered. */
const CURRENT_RUN = fromRoot("results/.current_run.json");

/** The run that was named last; `undefined`: none, or what was remembered is no name any more. */
async function rememberedRun(): Promise<string | undefined> {
  if (!await exists(CURRENT_RUN)) return undefined;
  const remembered = await readJson(CURRENT_RUN, "").catch(() => null);
  return configSchema.pick({ run: true }).safeParse(remembered).data?.run;
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
    const what = `${path} is not a config of this version. ${reasonOf(cause)}`;
    throw new DataError(what, remedy, { cause, file: path });
  }
}

/**
 * Environment variable through which the command line reaches the notebooks: a JSON object in the
 * form of a {@linkcode ConfigInput}.
 */
export const OVERRIDES_VARIABLE = "GLOMERULI_CONFIG";

function commandLineOverrides(): Record<string, unknown> {
  const text = Deno.env.get(OVERRIDES_VARIABLE);
  const value = text ? jsonOf(text) : {};
  if (isRecord(value)) return value;
  throw new ConfigError(`${OVERRIDES_VARIABLE} is not a JSON object.`, "Unset it.");
}

/** Every field of a config (its dotted path, as for `--set`), its value, default and meaning. */
export function describeConfig(
  config: Config = parseConfig({}),
): { field: string; value: unknown; default: unknown; meaning: string }[] {
  const at = (values: unknown, name: string) => isRecord(values) ? values[name] : undefined;
  const walk = (
    { properties = {} }: z.core.JSONSchema.BaseSchema,
    values: unknown,
    defaults: unknown,
    path: string,
  ): ReturnType<typeof describeConfig> =>
    Object.entries(properties).flatMap(([name, schema]) => {
      if (typeof schema === "boolean") return [];
      const [value, fallback, field] = [at(values, name), at(defaults, name), `${path}${name}`];
      if (schema.properties) return walk(schema, value, fallback, `${field}.`);
      return [{ field, value, default: fallback, meaning: schema.description ?? "" }];
    });
  return walk(z.toJSONSchema(configSchema, { io: "input" }), config, parseConfig({}), "");
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
  const written = text.slice(at + 1);
  const parsed = jsonOf(written);
  const value = parsed === undefined ? written : parsed;
  return text.slice(0, at).split(".")
    .reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<string, unknown>;
}

/** The value of a text that is JSON; else `undefined`. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
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

/** Where the slide is in the file names of the sample set. */
const SAMPLE_GROUP_PATTERN = "(slide_\\d+)_";

const DATA_FOLDER = "data";

const NEW_FOLDER = "data/new";

/**
 * A config whose folders are there: while data/ has no images, the sample set, divided by slide,
 * stands in for it; while there is no data/new/, the sample's new images do, or a person's own data,
 * so that section 7 always has something to show. Folders that were chosen are left as they are.
 */
export async function withDefaultFolders(config: Config): Promise<Config> {
  let { data, evaluation } = config;
  if (
    data.folder === DATA_FOLDER && await exists(fromRoot(SAMPLE_FOLDER)) &&
    !await holdsImages(fromRoot(DATA_FOLDER), data.classes)
  ) {
    const groupPattern = data.groupPattern ?? SAMPLE_GROUP_PATTERN;
    data = { ...data, folder: SAMPLE_FOLDER, groupPattern };
  }
  if (evaluation.folder === NEW_FOLDER && !await exists(fromRoot(NEW_FOLDER))) {
    const folder = data.folder === SAMPLE_FOLDER ? `${SAMPLE_FOLDER}/new` : data.folder;
    evaluation = { ...evaluation, folder };
  }
  return { ...config, data, evaluation };
}
