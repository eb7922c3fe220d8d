import { join } from "node:path";
import { SetupError } from "../lib/core/errors.ts";
import { exists, readJson, writeJson } from "../lib/core/files.ts";
import { fromRoot, holdsImages, projectRoot, SAMPLE_FOLDER } from "../lib/core/paths.ts";
import { runTool, venvFolder } from "../lib/core/python.ts";
import { runMain, statusLine } from "../lib/core/terminal.ts";
import { bindingStep } from "./binding.ts";
import { digest, hasStamp, runSteps, type Step, writeStamp } from "./step.ts";
import { venvStep } from "./venv.ts";

/**
 * Brings the project to where notebooks run: npm packages, .venv, TensorFlow binding, Deno kernel,
 * sample images. What is there already is left alone (then it takes a second), what was interrupted
 * is continued; once done it needs no network. This module and what it imports use nothing but Deno
 * itself, for there are no packages yet; code that needs some is imported after it.
 *
 * @param options `sampleImages`: whether some are made where data/ has none, true by default;
 *   `afterPackages`: called as soon as the npm packages are there, before the longer steps, so that a
 *   slip in what was asked for is told at once.
 * @throws {SetupError} Naming the step that failed, why, and what to do.
 */
export async function setUp(
  options: { sampleImages?: boolean; afterPackages?: () => Promise<void> } = {},
): Promise<void> {
  if (Deno.build.os !== "linux" && Deno.build.os !== "darwin") {
    throw new SetupError(
      `The project does not run on ${Deno.build.os}: TensorFlow's libraries cannot be obtained.`,
      "On Windows, use it inside WSL2 (Ubuntu), where it is Linux.",
    );
  }
  const status = statusLine();
  using _lock = await lockSetUp();
  await runSteps([packagesStep], status);
  await options.afterPackages?.();
  // The pictures are drawn while Python's packages are downloaded. A failure waits for the other.
  const both = await Promise.allSettled([
    runSteps([venvStep, bindingStep, kernelStep], status),
    runSteps(options.sampleImages ?? true ? [sampleStep] : [], status),
  ]);
  for (const result of both) if (result.status === "rejected") throw result.reason;
}

/**
 * Imports a module that needs packages, once they are there. (An import with its path written out
 * would be looked at when the program starts.)
 *
 * @param path From the project's folder.
 */
export async function later<Module>(path: string): Promise<Module> {
  return await import(join(projectRoot, path));
}

/** Keeps a second set-up of the same folder waiting. The lock goes with its process. */
async function lockSetUp(): Promise<Deno.FsFile> {
  const folder = join(projectRoot, "node_modules");
  await Deno.mkdir(folder, { recursive: true });
  const file = await Deno.open(join(folder, ".setup-lock"), { create: true, write: true });
  if (!await file.tryLock(true)) {
    console.log("set-up  waiting for another set-up of this folder to end");
    await file.lock(true);
  }
  return file;
}

const stampPath = join(projectRoot, "node_modules", ".packages-stamp");

/**
 * The npm packages, exactly as deno.lock has them. Their install scripts stay ignored on purpose:
 * that of tfjs-node-gpu downloads an outdated TensorFlow, which `binding.ts` replaces.
 * (`nodeModulesDir` is "manual" in deno.json, because Deno would else install them before any line
 * of this program runs, with a list of every file on the screen.)
 */
const packagesStep: Step = {
  name: "npm packages",
  remedy: "Check the network connection, then run the same command again: it goes on where it " +
    "stopped.",
  isDone: async () => await hasStamp(stampPath, await packagesStamp()),
  run: async (report) => {
    const options = { cwd: projectRoot, env: { NO_COLOR: "1" }, onLine: report };
    await runTool(Deno.execPath(), ["install", "--frozen"], options);
    await writeStamp(stampPath, await packagesStamp());
  },
};

async function packagesStamp(): Promise<string> {
  return digest([await Deno.readTextFile(join(projectRoot, "deno.lock")), Deno.build.target]);
}

/**
 * The kernel of the notebooks, as Jupyter describes one: the Deno inside the .venv, because one that
 * npx started lives in a cache that may be cleared.
 *
 * @param venv Absolute path of the .venv.
 */
export function kernelSpec(venv: string) {
  return {
    argv: [join(venv, "bin", "deno"), "jupyter", "--kernel", "--conn", "{connection_file}"],
    display_name: "Deno",
    language: "typescript",
    // Must be there before TensorFlow is loaded: its greetings would land in the cells.
    env: { TF_CPP_MIN_LOG_LEVEL: "2" },
  };
}

// Jupyter knows the kernel by the name of the folder; the notebooks' metadata name it.
const kernelPath = join(venvFolder, "share", "jupyter", "kernels", "deno", "kernel.json");

/** Registers the kernel for the Jupyter of the .venv, which VS Code finds as well. */
const kernelStep: Step = {
  name: "Deno kernel",
  remedy: "Delete the folder .venv, then run the same command again.",
  isDone: async () => {
    const present = await readJson(kernelPath, "").catch(() => null);
    return JSON.stringify(present) === JSON.stringify(kernelSpec(venvFolder));
  },
  run: async () => await writeJson(kernelPath, kernelSpec(venvFolder)),
};

/** With no images in data/, the synthetic sample set to start with. It appears whole or not at all. */
const sampleStep: Step = {
  name: "sample images",
  remedy: "Check the free disk space, then run the same command again.",
  isDone: async () => {
    if (await exists(fromRoot(SAMPLE_FOLDER))) return true;
    const path = "lib/core/config.ts";
    const { parseConfig } = await later<typeof import("../lib/core/config.ts")>(path);
    return await holdsImages(fromRoot("data"), parseConfig({}).data.classes);
  },
  run: async (report) => {
    const { makeSampleSet } = await later<typeof import("./sample.ts")>("tools/sample.ts");
    await makeSampleSet(fromRoot(SAMPLE_FOLDER), {
      onProgress: (done, total) => report(`${done} of ${total} synthetic images`),
    });
  },
};

if (import.meta.main) await runMain(() => setUp());
