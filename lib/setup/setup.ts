import { join } from "node:path";
import { SetupError } from "../errors.ts";
import { projectRoot } from "../paths.ts";
import { bindingStep } from "./binding.ts";
import { kernelStep } from "./kernel.ts";
import { runMain } from "./main.ts";
import { packagesStep } from "./packages.ts";
import { sampleStep } from "./sample_step.ts";
import { statusLine } from "./status_line.ts";
import { runStep } from "./step.ts";
import { venvStep } from "./venv.ts";

/** What {@linkcode setUp} may be told. */
export interface SetUpOptions {
  /** Whether sample images are made where data/ has none; true by default. */
  sampleImages?: boolean;
  /**
   * Called as soon as the npm packages are there, before the longer steps: a look at what was asked
   * for, so that a slip is told at once.
   */
  afterPackages?: () => Promise<void>;
}

/**
 * Brings the project to where notebooks run: npm packages, .venv, TensorFlow binding, Deno kernel,
 * sample images. What is there already is left alone (then it takes a second), what was interrupted
 * is continued; once done it needs no network. This module and what it imports use nothing but Deno
 * itself, for there are no packages yet; code that needs some is imported after it.
 *
 * @throws {SetupError} Naming the step that failed, why, and what to do.
 */
export async function setUp(options: SetUpOptions = {}): Promise<void> {
  if (Deno.build.os !== "linux" && Deno.build.os !== "darwin") {
    throw new SetupError(
      `The project does not run on ${Deno.build.os}: TensorFlow's libraries are not to be had.`,
      "On Windows, use it inside WSL2 (Ubuntu), where it is Linux.",
    );
  }
  const status = statusLine();
  using _lock = await lockSetUp();
  await runStep(packagesStep, status);
  await options.afterPackages?.();
  for (const step of [venvStep, bindingStep, kernelStep]) await runStep(step, status);
  if (options.sampleImages ?? true) await runStep(sampleStep, status);
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

if (import.meta.main) await runMain(() => setUp());
