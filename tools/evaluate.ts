import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError } from "../lib/core/errors.ts";
import { runMain } from "../lib/core/terminal.ts";
import type { RunOptions } from "../lib/evaluation/evaluate.ts";
import { parseFormats } from "../lib/evaluation/export.ts";
import { parseShard } from "../lib/evaluation/parts.ts";
import { setUp } from "./setup.ts";

const USAGE = `deno task evaluate DIR [--run NAME] [--out FILE] [--force] [--follow-links]
                       [--format NAMES] [--sidecar FILE] [--shard I/N | --merge]

Classifies every image under DIR with the model of a run, as notebook 07 does. Interrupted
(Ctrl-C, or a kill) and run again, it goes on where it ended.

  --run NAME      the run whose model is used (default: "default")
  --out FILE      where to write; details and errors go beside it
                  (default: results/RUN/evaluation.csv)
  --force         overwrite an evaluation of another folder or model
  --follow-links  classify what symbolic links in DIR lead to as well; every folder once
  --format NAMES  formats, separated by commas: csv, which is always written, and parquet (the
                  details)
  --sidecar FILE  a CSV of name,x,y,width,height[,slide] that tells where on its slide each crop
                  is: writes annotations for QuPath (.geojson)
  --shard I/N     evaluate part I of N, on this or another machine; every part has batches from
                  the whole of DIR (batch I, I + N, I + 2N … of 32 images)
  --merge         join the parts: the files are those of an undivided evaluation`;

/** What the command line asks for; paths are absolute. */
interface Request {
  folder: string;
  followLinks: boolean;
  run: string;
  options: Omit<RunOptions, "onProgress">;
}

/** Reads the arguments; `null` when only help is wanted. Relative paths are meant from `cwd`. */
export function parseEvaluateArguments(args: string[], cwd: string): Request | null {
  const text = { type: "string" } as const;
  const yes = { type: "boolean" } as const;
  const parsed = parseFolderArguments(args, cwd, USAGE, {
    ...{ run: text, out: text, shard: text, format: text, sidecar: text },
    ...{ merge: yes, force: yes, "follow-links": yes },
  });
  if (parsed === null) return null;
  const { folder, values: { run = "default", ...values }, switches } = parsed;
  for (const name of ["out", "sidecar"]) {
    if (values[name] === "") throw new ConfigError(`--${name} needs a file.`, USAGE);
  }
  const path = (name: string) =>
    values[name] === undefined ? {} : { [name]: resolve(cwd, values[name]) };
  const shard = values["shard"] === undefined ? {} : { shard: parseShard(values["shard"]) };
  const formats = values["format"] === undefined ? {} : { formats: parseFormats(values["format"]) };
  const merge = switches.has("merge") ? { merge: true } : {};
  const force = switches.has("force") ? { force: true } : {};
  if ("shard" in shard && ("merge" in merge || "formats" in formats || "sidecar" in values)) {
    throw new ConfigError(
      "--shard evaluates a part; --merge, --format and --sidecar are for joining the parts.",
      USAGE,
    );
  }
  const options = { ...path("out"), ...path("sidecar"), ...shard, ...merge, ...force, ...formats };
  return { folder, followLinks: switches.has("follow-links"), run, options };
}

/** @returns The exit code: that of an interrupted command when the person stopped it. */
async function evaluate({ folder, followLinks, run, options }: Request): Promise<number> {
  const { readRunConfig } = await import("../lib/core/config.ts");
  const { evaluateRun } = await import("../lib/evaluation/evaluate.ts");
  const { describeEvaluation } = await import("../lib/evaluation/results.ts");
  const { showProgress } = await import("../lib/show/progress.ts");
  const runConfig = await readRunConfig(run);
  const { evaluation } = runConfig;
  const config = {
    ...runConfig,
    evaluation: { ...evaluation, folder, followLinks: followLinks || evaluation.followLinks },
  };
  const onProgress = showProgress("Classifying");
  const result = await evaluateRun(config, { ...options, onProgress });
  for (const line of describeEvaluation(result)) console.log(line);
  if (result.priorShift) console.log(result.priorShift.text);
  return result.state === "stopped" ? 130 : 0;
}

/** What the command line of a command that takes a folder asks for. */
export interface FolderArguments {
  /** Absolute. */
  folder: string;
  /** Options that take a value, by name; those that were not given are missing. */
  values: Readonly<Record<string, string | undefined>>;
  /** Options without a value that were given. */
  switches: ReadonlySet<string>;
}

/**
 * Reads `DIR [--NAME VALUE …] [--SWITCH …]`.
 *
 * @param cwd What a relative folder is meant from.
 * @param usage Shown as the remedy.
 * @param options The options there are, beside `--help`.
 * @returns `null` when only help is wanted.
 * @throws {ConfigError} For an unknown option, or when not just one folder is named.
 */
export function parseFolderArguments(
  args: string[],
  cwd: string,
  usage: string,
  options: Readonly<Record<string, { type: "string" | "boolean" }>>,
): FolderArguments | null {
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: { ...options, help: { type: "boolean", short: "h" } },
    });
  } catch (cause) {
    throw new ConfigError(cause instanceof Error ? cause.message : String(cause), usage, { cause });
  }
  const { help, ...given } = parsed.values;
  if (help) return null;
  const [folder, ...others] = parsed.positionals;
  if (!folder || others.length > 0) {
    throw new ConfigError("One folder of images must be named.", usage);
  }
  const entries = Object.entries(given);
  const texts = entries.filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return {
    folder: resolve(cwd, folder),
    values: Object.fromEntries(texts),
    switches: new Set(entries.filter(([, value]) => value === true).map(([name]) => name)),
  };
}

if (import.meta.main) {
  await runMain(async () => {
    const request = parseEvaluateArguments(Deno.args, Deno.env.get("INIT_CWD") ?? Deno.cwd());
    if (request === null) return console.log(USAGE);
    await setUp({ sampleImages: false });
    return await evaluate(request);
  });
}
