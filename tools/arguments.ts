import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError, reasonOf } from "../lib/core/errors.ts";

/**
 * Reads `DIR [--NAME VALUE …] [--SWITCH …]`.
 *
 * @param cwd What a relative folder is meant from.
 * @param usage Shown as the remedy.
 * @param options The options there are, beside `--help`.
 * @returns The `folder`, absolute; `values` of options that were given, by name; `switches`: options
 *   without a value that were given. `null` when only help is wanted.
 * @throws {ConfigError} For an unknown option, or when not just one folder is named.
 */
export function parseFolderArguments(
  args: string[],
  cwd: string,
  usage: string,
  options: Readonly<Record<string, { type: "string" | "boolean" }>>,
) {
  const withHelp = { ...options, help: { type: "boolean", short: "h" } } as const;
  let parsed;
  try {
    parsed = parseArgs({ args, allowPositionals: true, options: withHelp });
  } catch (cause) {
    throw new ConfigError(reasonOf(cause), usage, { cause });
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
    values: Object.fromEntries(texts) as Record<string, string | undefined>,
    switches: new Set(entries.filter(([, value]) => value === true).map(([name]) => name)),
  };
}
