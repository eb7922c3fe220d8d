import { merge, parseAssignment, parseConfig } from "../config.ts";
import type { Config } from "../config_schema.ts";
import type { RunOptions } from "./run_options.ts";

/** The command line's part of the config, and the config that it makes with all defaults. */
export interface Overrides {
  /** What goes to the notebooks: only what was asked for. */
  input: Record<string, unknown>;
  config: Config;
}

/**
 * The part of the config that the command line gives; `--data`, `--new` and `--run` win over a
 * `--set` of the same field, and a later `--set` over an earlier one.
 *
 * @throws {ConfigError} For a field that does not exist or a value that cannot be used.
 */
export function buildOverrides(
  options: Pick<RunOptions, "data" | "new" | "run" | "set">,
): Overrides {
  const named = {
    ...(options.run === undefined ? {} : { run: options.run }),
    ...(options.data === undefined ? {} : { data: { folder: options.data } }),
    ...(options.new === undefined ? {} : { evaluation: { folder: options.new } }),
  };
  const input = [...options.set.map(parseAssignment), named].reduce<Record<string, unknown>>(
    (all, part) => merge(all, part),
    {},
  );
  return { input, config: parseConfig(input) };
}
