import { basename, join } from "node:path";
import { projectRoot } from "../../lib/core/paths.ts";
import { add, checkDeno, type Counts, reportFaults } from "../checks.ts";
import { cellsAsModule, type Notebook, uncleanCells } from "./code_cells.ts";

/** Checks the notebooks as they are committed: no outputs, and cells that type-check and lint. */
export async function checkCells(paths: readonly string[]): Promise<Counts> {
  const start = performance.now();
  const modules: string[] = [];
  const unclean: string[] = [];
  try {
    for (const path of paths) {
      const notebook = JSON.parse(await Deno.readTextFile(path)) as Notebook;
      unclean.push(...uncleanCells(notebook).map((fault) => `${basename(path)}: ${fault}`));
      // Beside the notebook, so that its relative imports mean the same.
      const name = `.${basename(path, ".ipynb")}.${Deno.pid}.cells.ts`;
      const module = join(projectRoot, "notebooks", name);
      modules.push(module);
      await Deno.writeTextFile(module, cellsAsModule(notebook));
    }
    const without = reportFaults("notebooks are without outputs", start, unclean);
    const types = await checkDeno("types of the notebooks' cells", ["check", ...modules]);
    const lint = await checkDeno("lint of the notebooks' cells", ["lint", ...modules]);
    return [types, lint].reduce(add, without);
  } finally {
    for (const module of modules) await Deno.remove(module).catch(() => {});
  }
}
