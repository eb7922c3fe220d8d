import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, DataError } from "../lib/core/errors.ts";
import { runMain } from "../lib/core/terminal.ts";
import { later, setUp } from "./setup.ts";

/** What `deno task run` was asked for. */
export interface RunOptions {
  help: boolean;
  data?: string; // absolute, as `new`
  new?: string;
  run?: string;
  set: readonly string[]; // each as it was written
  from: number; // first and last notebook to execute, 1 to 7
  to: number;
}

/** The first and the last notebook. */
const [FIRST, LAST] = [1, 7];

/** What `deno task run --help` prints. */
const RUN_HELP = `deno task run: set up, then execute the seven notebooks in order

  --data DIR          folder of images: one folder per class (default: data/, or the sample set)
  --new DIR           folder of new images for section 7 (default: data/new/)
  --run NAME          name of the run: results/NAME/ and model/NAME/ (default: default)
  --set FIELD=VALUE   a field of the config, as in --set training.epochs=3; may be repeated
  --from NN           first notebook to execute (default: 01)
  --to NN             last notebook to execute (default: 07)
  --help              this text

docs/settings.md lists every field of the config.`;

/**
 * Reads the command line of `deno task run`.
 *
 * @param callerFolder What relative folders are meant from: where the command was typed.
 * @throws {ConfigError} For an option that does not exist, lacks its value or makes no sense.
 */
export function parseRunOptions(args: readonly string[], callerFolder: string): RunOptions {
  const { values } = parse(args);
  const from = notebookNumber("--from", values.from, FIRST);
  const to = notebookNumber("--to", values.to, LAST);
  if (from > to) throw refuse(`--from ${values.from} comes after --to ${values.to ?? LAST}.`);
  const given: Partial<RunOptions> = {};
  for (const name of ["data", "new"] as const) {
    const folder = values[name];
    if (folder === "") throw refuse(`--${name} needs a folder.`);
    if (folder !== undefined) given[name] = resolve(callerFolder, folder);
  }
  if (values.run !== undefined) given.run = values.run;
  return { ...given, help: values.help ?? false, set: values.set ?? [], from, to };
}

function parse(args: readonly string[]) {
  const text = { type: "string" } as const;
  const options = {
    ...{ data: text, new: text, run: text, from: text, to: text },
    set: { ...text, multiple: true },
    help: { type: "boolean", short: "h" },
  } as const;
  try {
    // `deno task run -- --data DIR`, as npm wants it, means the same.
    return parseArgs({ args: args[0] === "--" ? args.slice(1) : [...args], options });
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.split(". ")[0] : String(cause);
    throw refuse(`${message}.`, cause);
  }
}

function notebookNumber(option: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const number = /^0?([1-9])$/.test(text) ? Number(text) : NaN;
  if (!(number >= FIRST && number <= LAST)) {
    throw refuse(`${option} ${text}: a notebook's number is needed, 01 to 07.`);
  }
  return number;
}

function refuse(what: string, cause?: unknown): ConfigError {
  return new ConfigError(what, "`deno task run --help` lists the options.", { cause });
}

/**
 * Sees that the folders of `--data` and `--new` are there, before anything else is done.
 *
 * @throws {DataError} Naming the one that is not.
 */
export async function checkFolders(options: Pick<RunOptions, "data" | "new">): Promise<void> {
  for (const name of ["data", "new"] as const) {
    const file = options[name];
    if (file === undefined) continue;
    const entry = await Deno.stat(file).catch((cause) => {
      const reason = cause instanceof Deno.errors.NotFound ? "there is no such folder" : `${cause}`;
      const what = `--${name} ${file}: ${reason}.`;
      throw new DataError(what, "Check how it is spelt.", { cause, file });
    });
    if (entry.isDirectory) continue;
    const what = `--${name} ${file} is a file.`;
    throw new DataError(what, "Give the folder that holds the images.", { file });
  }
}

/** Only what needs no packages is imported before the set-up. @returns The exit code. */
async function run(): Promise<number> {
  const options = parseRunOptions(Deno.args, Deno.env.get("INIT_CWD") ?? Deno.cwd());
  if (options.help) {
    console.log(RUN_HELP);
    return 0;
  }
  await checkFolders(options);
  const summary = () => later<typeof import("./summary.ts")>("tools/summary.ts");
  await setUp({
    sampleImages: options.data === undefined || options.new === undefined,
    afterPackages: async () => void (await summary()).buildOverrides(options),
  });
  return await (await summary()).runAndSummarise(options);
}

if (import.meta.main) await runMain(run);
