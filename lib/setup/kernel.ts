import { join } from "node:path";
import { writeJson } from "../files.ts";
import type { Step } from "./step.ts";
import { venvFolder } from "./venv.ts";

/** Name under which Jupyter knows the kernel; the notebooks' metadata name it. */
export const KERNEL_NAME = "deno";

/** Jupyter's description of a kernel. */
export interface KernelSpec {
  argv: string[];
  display_name: string;
  language: string;
  env: Record<string, string>;
}

/**
 * The kernel of the notebooks: the Deno inside the .venv, because one that npx started lives in a
 * cache that may be cleared.
 *
 * @param venv Absolute path of the .venv.
 */
export function kernelSpec(venv: string): KernelSpec {
  return {
    argv: [join(venv, "bin", "deno"), "jupyter", "--kernel", "--conn", "{connection_file}"],
    display_name: "Deno",
    language: "typescript",
    // Must be there before TensorFlow is loaded: its greetings would land in the cells.
    env: { TF_CPP_MIN_LOG_LEVEL: "2" },
  };
}

const path = join(venvFolder, "share", "jupyter", "kernels", KERNEL_NAME, "kernel.json");

/** Registers the kernel for the Jupyter of the .venv, which VS Code finds as well. */
export const kernelStep: Step = {
  name: "Deno kernel",
  remedy: "Delete the folder .venv, then run the same command again.",
  isDone: async () => {
    try {
      const present: unknown = JSON.parse(await Deno.readTextFile(path));
      return JSON.stringify(present) === JSON.stringify(kernelSpec(venvFolder));
    } catch {
      return false;
    }
  },
  run: async () => await writeJson(path, kernelSpec(venvFolder)),
};
