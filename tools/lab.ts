import { projectRoot } from "../lib/core/paths.ts";
import { venvPython } from "../lib/core/python.ts";
import { runMain } from "../lib/core/terminal.ts";
import { setUp } from "./setup.ts";
import { jupyterEnvironment } from "./venv.ts";

/** JupyterLab on the project; further arguments are JupyterLab's own. */
async function lab(): Promise<number> {
  await setUp();
  const root = `--ServerApp.root_dir=${projectRoot}`;
  const child = new Deno.Command(venvPython, {
    args: ["-m", "jupyterlab", root, "--LabApp.default_url=/lab/tree/notebooks", ...Deno.args],
    cwd: projectRoot,
    env: jupyterEnvironment,
  }).spawn();
  // Ctrl-C is for JupyterLab, which asks whether it is meant.
  Deno.addSignalListener("SIGINT", () => {});
  return (await child.status).code;
}

if (import.meta.main) await runMain(lab);
