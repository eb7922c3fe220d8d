import { describeConfig } from "../core/config.ts";
import type { ConfigInput } from "../core/settings.ts";
import { environment } from "../core/tensorflow.ts";
import { isSyntheticRun, openRun, type Run } from "../run/run.ts";
import { type Displayable, htmlTable, notice, show, syntheticNotice } from "../show/display.ts";

/** A run with what notebook 01 shows of it. */
interface ConfiguredRun extends Run {
  /** Versions and hardware: they decide results as much as settings do. */
  environment: Displayable;
  /** Every setting with its value, default and meaning. */
  settings: Displayable;
}

/**
 * Opens a run with the settings of a notebook's cell, and says which run it is. What is left out
 * takes the value that the run's other notebooks gave it, or its default; without `run`, it is the
 * run that was named last, in whichever notebook.
 *
 * @example
 * ```ts
 * const run = await configure({ training: { epochs: 10 } });
 * ```
 * @throws {ConfigError} When a field is misspelt, of the wrong type or out of range.
 * @throws {DataError} When the run's config.json is damaged.
 */
export async function configure(input: ConfigInput = {}): Promise<ConfiguredRun> {
  const run = await openRun(input);
  const how = input.run === undefined
    ? 'Another one: configure({ run: "name", … }).'
    : "Notebooks that name no run use it from now on.";
  await show(
    notice(`Run “${run.name}”: results/${run.name}/ and model/${run.name}/. ${how}`),
    await isSyntheticRun(run) ? syntheticNotice() : null,
  );
  return {
    ...run,
    environment: htmlTable(environment()),
    settings: htmlTable(describeConfig(run.config)),
  };
}
