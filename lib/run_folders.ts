import { join } from "node:path";
import { compareCodePoints } from "./data/compare_code_points.ts";
import { projectRoot } from "./paths.ts";

/** Names of the folders in results/, in code-point order: most are those of runs. */
export async function runFolders(): Promise<string[]> {
  const folder = join(projectRoot, "results");
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) {
      const isFolder = await Deno.stat(join(folder, name)).then(
        (it) => it.isDirectory,
        () => false,
      );
      if (isFolder && !name.startsWith(".")) names.push(name);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort(compareCodePoints);
}
