import { cp } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { projectRoot } from "../lib/core/paths.ts";
import type { Config } from "../lib/core/settings.ts";
import type { Run } from "../lib/run/run.ts";
import { inFolder } from "./data/test_images.ts";

/** A project of its own, whose data/, model/ and results/ a test may fill. */
export interface ProjectCopy {
  root: string;
  /**
   * A module of the copy, such as `lib/core/config.ts`; it reads and writes below `root`. Its error
   * classes are not those of the test's own imports: tell errors by their names.
   */
  load<Module>(path: string): Promise<Module>;
}

/** A function of a run, as one of the run's config. */
export type OfConfig<F> = F extends (run: Run, ...rest: infer Rest) => infer Result
  ? (config: Config, ...rest: Rest) => Result
  : never;

/** A function of the copy that takes a run, such as `trainRun`, as one that takes its config. */
export async function ofConfig<F extends (run: Run, ...rest: never[]) => unknown>(
  { load }: Pick<ProjectCopy, "load">,
  path: string,
  name: string,
): Promise<OfConfig<F>> {
  const { runOf } = await load<typeof import("../lib/run/run.ts")>("lib/run/run.ts");
  const of = (await load<Record<string, F>>(path))[name]!;
  return ((config: Config, ...rest: never[]) => of(runOf(config), ...rest)) as OfConfig<F>;
}

/** Calls functions of the copy's sections, such as `scanRun`, with a config: by name and module. */
export function sectionsOf(project: Pick<ProjectCopy, "load">, config: Config) {
  return async (name: string, path: string): Promise<unknown> =>
    await (await ofConfig<(run: Run) => Promise<unknown>>(project, path, name))(config);
}

/** Runs a test with a copy of lib/ and the .venv in a folder of its own, which is removed afterwards. */
export function inProjectCopy(test: (project: ProjectCopy) => Promise<void>): Promise<void> {
  return inFolder(async (root) => {
    await cp(join(projectRoot, "lib"), join(root, "lib"), { recursive: true });
    await Deno.symlink(join(projectRoot, ".venv"), join(root, ".venv"));
    await test({ root, load: (path) => import(pathToFileURL(join(root, path)).href) });
  });
}
