import { configInForce } from "../core/config.ts";
import { fromRoot, isSynthetic, type RunPaths, runPaths } from "../core/paths.ts";
import type { Config, ConfigInput } from "../core/settings.ts";

/**
 * One run of the workflow: a name, the settings in force, and where its files are. The files
 * themselves are read and written by their own module of this folder.
 */
export interface Run {
  /** Letters, digits, dot, dash and underscore: the name of its folders. */
  name: string;
  config: Config;
  paths: RunPaths;
}

/** The run that a config describes. */
export function runOf(config: Config): Run {
  return { name: config.run, config, paths: runPaths(config.run) };
}

/**
 * The run of a notebook with its settings in force: see `configInForce`.
 *
 * @throws {ConfigError} When a field is misspelt, of the wrong type or out of range.
 */
export async function openRun(input: ConfigInput = {}): Promise<Run> {
  return runOf(await configInForce(input));
}

/**
 * Whether the run rests on synthetic images: its data, or the new images that it is applied to.
 */
export async function isSyntheticRun({ config: { data, evaluation } }: Run): Promise<boolean> {
  return await isSynthetic(fromRoot(data.folder)) || await isSynthetic(fromRoot(evaluation.folder));
}
