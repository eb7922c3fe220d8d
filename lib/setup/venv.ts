import { join } from "node:path";
import { SetupError } from "../errors.ts";
import { exists } from "../files.ts";
import { projectRoot } from "../paths.ts";
import { findPython } from "./python.ts";
import { digest, hasStamp, writeStamp } from "./stamp.ts";
import type { Step } from "./step.ts";
import { runTool, ToolError } from "./tool.ts";

/** The project's own Python environment. */
export const venvFolder: string = join(projectRoot, ".venv");

/** Its interpreter. Tools are started as `python -m TOOL`, which survives moving the project. */
export const venvPython: string = join(venvFolder, "bin", "python");

/** Makes the .venv's kernel win over one of the same name in the user's home. */
export const jupyterEnvironment: Readonly<Record<string, string>> = {
  JUPYTER_PREFER_ENV_PATH: "1",
};

const TENSORFLOW = "2.21.0";
const requirements = join(projectRoot, "requirements.txt");
const stampPath = join(venvFolder, ".packages-stamp");

/**
 * The TensorFlow wheel whose libraries the native binding is built against, as pip takes it.
 * `tensorflow-cpu` exists for x86-64 Linux only; elsewhere `tensorflow` is the CPU wheel too.
 */
export function tensorflowRequirement(
  machine: { os: string; arch: string; hasGpu: boolean },
): string {
  if (machine.hasGpu) return `tensorflow[and-cuda]==${TENSORFLOW}`;
  const small = machine.os === "linux" && machine.arch === "x86_64";
  return `${small ? "tensorflow-cpu" : "tensorflow"}==${TENSORFLOW}`;
}

/** `.venv` with JupyterLab, the notebook executor, the kernel's own Deno and TensorFlow. */
export const venvStep: Step = {
  name: "Python environment",
  remedy: "Check the network connection and the free disk space (3 GB are needed, 8 GB with a " +
    "GPU), then run the same command again: it goes on where it stopped.",
  isDone: async () =>
    await exists(venvPython) && await hasStamp(stampPath, await wanted(await tensorflow())),
  run: async (report) => {
    const wheel = await tensorflow();
    if (!await hasPip()) await createVenv(report);
    await removeOtherTensorflow(wheel, report);
    await pip(["install", "-r", requirements, wheel], report);
    await repairPackages(report);
    await writeStamp(stampPath, await wanted(wheel));
  },
};

/** Runs the environment's pip. */
export async function pip(
  args: readonly string[],
  report: (line: string) => void,
): Promise<string> {
  const command = ["-m", "pip", "--disable-pip-version-check", "--no-input", ...args];
  return await runTool(venvPython, command, {
    cwd: projectRoot,
    onLine: (line) => {
      if (!line.startsWith("Requirement already satisfied")) report(line);
    },
  });
}

async function tensorflow(): Promise<string> {
  return tensorflowRequirement({
    os: Deno.build.os,
    arch: Deno.build.arch,
    hasGpu: await hasNvidiaGpu(),
  });
}

async function wanted(wheel: string): Promise<string> {
  return digest([await Deno.readTextFile(requirements), wheel, Deno.build.target]);
}

async function hasNvidiaGpu(): Promise<boolean> {
  try {
    return (await runTool("nvidia-smi", ["-L"])).includes("GPU ");
  } catch {
    return false;
  }
}

async function hasPip(): Promise<boolean> {
  try {
    await runTool(venvPython, ["-m", "pip", "--version"]);
    return true;
  } catch {
    return false;
  }
}

async function createVenv(report: (line: string) => void): Promise<void> {
  const python = await findPython();
  report(`making .venv with ${python.executable}`);
  try {
    await runTool(python.executable, ["-m", "venv", "--clear", venvFolder]);
  } catch (venvError) {
    try {
      await runTool(python.executable, ["-m", "virtualenv", "--clear", venvFolder]);
    } catch {
      throw new SetupError(
        `${python.executable} cannot make a virtual environment: ${
          venvError instanceof ToolError ? venvError.message : venvError
        }`,
        "Install Python's venv module (Debian and Ubuntu: the package " +
          `python${python.version.join(".")}-venv) or virtualenv (pip install --user ` +
          "virtualenv), then run the same command again.",
        { cause: venvError },
      );
    }
  }
}

/** tensorflow and tensorflow-cpu put their files in the same place: one must go first. */
async function removeOtherTensorflow(
  wheel: string,
  report: (line: string) => void,
): Promise<void> {
  const other = wheel.startsWith("tensorflow-cpu") ? "tensorflow" : "tensorflow-cpu";
  const installed = await runTool(venvPython, ["-m", "pip", "list", "--format=freeze"]);
  if (installed.split("\n").some((line) => line.replace("_", "-").startsWith(`${other}==`))) {
    await pip(["uninstall", "--yes", "tensorflow", "tensorflow-cpu"], report);
  }
}

/** Installs again what an earlier, killed pip left behind in part. */
async function repairPackages(report: (line: string) => void): Promise<void> {
  const script = join(import.meta.dirname!, "find_broken_packages.py");
  const broken = (await runTool(venvPython, [script])).split("\n").filter((line) => line !== "");
  if (broken.length === 0) return;
  report(`repairing ${broken.join(", ")}`);
  await pip(["install", "--force-reinstall", "--no-deps", ...broken], report);
}
