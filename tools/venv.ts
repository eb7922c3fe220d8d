import { join } from "node:path";
import { SetupError } from "../lib/core/errors.ts";
import { exists } from "../lib/core/files.ts";
import { projectRoot } from "../lib/core/paths.ts";
import { runTool, ToolError, venvFolder, venvPython } from "../lib/core/python.ts";
import { digest, hasStamp, type Step, writeStamp } from "./step.ts";

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

/** A Python of this machine. */
export interface Python {
  /** Absolute path of the interpreter itself, not of a shim. */
  executable: string;
  version: readonly [major: number, minor: number];
}

/** Oldest and newest minor version of Python 3 for which all of requirements.txt has wheels. */
export const PYTHON_MINORS = { oldest: 11, newest: 13 } as const;

const CANDIDATES = ["python3", "python", "python3.13", "python3.12", "python3.11"];

/** Whether the .venv can be made with this version. */
export function isSupportedPython([major, minor]: Python["version"]): boolean {
  return major === 3 && minor >= PYTHON_MINORS.oldest && minor <= PYTHON_MINORS.newest;
}

/**
 * The first of `python3`, `python`, `python3.13` … on the PATH that is of a supported version.
 *
 * @throws {SetupError} Naming the versions that were found instead.
 */
export async function findPython(
  probe: (command: string) => Promise<Python | null> = probePython,
): Promise<Python> {
  const found: string[] = [];
  for (const command of CANDIDATES) {
    const python = await probe(command);
    if (python === null) continue;
    if (isSupportedPython(python.version)) return python;
    found.push(`${command} is ${python.version.join(".")}`);
  }
  const range = `3.${PYTHON_MINORS.oldest} to 3.${PYTHON_MINORS.newest}`;
  throw new SetupError(
    found.length === 0
      ? `No Python was found (looked for ${CANDIDATES.join(", ")}).`
      : `Python ${range} is needed, and ${[...new Set(found)].join(", ")}.`,
    `Install Python ${range} (python.org, or the system's package manager), see that python3 ` +
      "starts it, then run the same command again.",
  );
}

/** What `command` starts, or null when it is not there or no Python. */
export async function probePython(command: string): Promise<Python | null> {
  const program = "import sys; print(*sys.version_info[:2], sys.executable)";
  try {
    const answer = await runTool(command, ["-I", "-c", program]);
    const [, major, minor, executable] = /^(\d+) (\d+) (.+)$/.exec(answer.trim()) ?? [];
    if (!major || !minor || !executable) return null;
    return { executable, version: [Number(major), Number(minor)] };
  } catch {
    return null;
  }
}
