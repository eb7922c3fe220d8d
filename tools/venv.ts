import { join } from "node:path";
import { reasonOf, SetupError } from "../lib/core/errors.ts";
import { exists } from "../lib/core/files.ts";
import { projectRoot } from "../lib/core/paths.ts";
import { runTool, ToolError, venvFolder, venvPython } from "../lib/core/python.ts";
import { digest, hasStamp, type Step, writeStamp } from "./step.ts";

/** Makes the .venv's kernel win over one of the same name in the user's home. */
export const jupyterEnvironment: Readonly<Record<string, string>> = {
  JUPYTER_PREFER_ENV_PATH: "1",
};

const TENSORFLOW = "2.21.0";

const UV = "uv==0.13.9";

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
    "GPU), then run the same command again: what was downloaded is not downloaded twice.",
  isDone: async () =>
    await exists(venvPython) && await hasStamp(stampPath, await wanted(await tensorflow())),
  run: async (report) => {
    const wheel = await tensorflow();
    // Always made anew: an installation that was killed leaves packages that only look whole, and
    // tensorflow and tensorflow-cpu put their files in the same place.
    await createVenv(report);
    await install(wheel, report);
    await writeStamp(stampPath, await wanted(wheel));
  },
};

/** Installs with uv, which takes a fifth of pip's time; with pip itself where uv does not work. */
async function install(wheel: string, report: (line: string) => void): Promise<void> {
  try {
    await pip(["install", UV], report);
    const args = ["-m", "uv", "pip", "install", "--python", venvPython, "-r", requirements, wheel];
    const env = uvEnvironment(await pip(["config", "list"], () => {}), Deno.env.toObject());
    await runTool(venvPython, args, { cwd: projectRoot, env, onLine: report });
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    report("uv does not work here, going on with pip");
    await pip(["install", "-r", requirements, wheel], report);
  }
}

/** pip's settings of where packages come from, and what uv calls them. */
const UV_VARIABLES: Readonly<Record<string, string>> = {
  "index-url": "UV_DEFAULT_INDEX",
  "extra-index-url": "UV_INDEX",
  "find-links": "UV_FIND_LINKS",
  "no-index": "UV_NO_INDEX",
  "trusted-host": "UV_INSECURE_HOST",
  cert: "SSL_CERT_FILE",
  proxy: "ALL_PROXY",
};

/**
 * The variables that make uv download from where pip would.
 *
 * @param pipConfig What `pip config list` prints: `global.index-url='https://…'` and the like.
 * @param environment Variables that are set already; they win.
 */
export function uvEnvironment(
  pipConfig: string,
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  const found: Record<string, string> = { UV_INDEX_STRATEGY: "unsafe-best-match" }; // as pip's
  // For pip, too, its variables (`:env:`) win over its files.
  const lines = pipConfig.split("\n")
    .toSorted((a, b) => Number(a.startsWith(":env:")) - Number(b.startsWith(":env:")));
  for (const line of lines) {
    const [, key = "", , value = ""] = /\.([\w-]+)=(['"])(.+)\2$/.exec(line.trim()) ?? [];
    const variable = UV_VARIABLES[key];
    // Several are put between line breaks or spaces.
    const parts = value.split(/\s|\\n/).filter((part) => part !== "");
    if (variable) found[variable] = parts.join(variable === "UV_FIND_LINKS" ? "," : " ");
  }
  return { ...found, ...environment };
}

/** Runs the environment's pip. */
export async function pip(args: string[], report: (line: string) => void): Promise<string> {
  const command = ["-m", "pip", "--disable-pip-version-check", "--no-input", ...args];
  return await runTool(venvPython, command, { cwd: projectRoot, onLine: report });
}

async function tensorflow(): Promise<string> {
  const { os, arch } = Deno.build;
  const gpus = await runTool("nvidia-smi", ["-L"]).catch(() => "");
  return tensorflowRequirement({ os, arch, hasGpu: gpus.includes("GPU ") });
}

async function wanted(wheel: string): Promise<string> {
  return digest([await Deno.readTextFile(requirements), wheel, Deno.build.target]);
}

async function createVenv(report: (line: string) => void): Promise<void> {
  const { executable, version } = await findPython();
  report(`making .venv with ${executable}`);
  const make = (module: string) => runTool(executable, ["-m", module, "--clear", venvFolder]);
  await make("venv").catch((cause) =>
    make("virtualenv").catch(() => {
      throw new SetupError(
        `${executable} cannot make a virtual environment: ${reasonOf(cause)}`,
        `Install Python's venv module (Debian and Ubuntu: python${version.join(".")}-venv) or ` +
          "virtualenv (pip install --user virtualenv), then run the same command again.",
        { cause },
      );
    })
  );
}

/** A Python of this machine. */
export interface Python {
  executable: string; // absolute path of the interpreter itself, not of a shim
  version: readonly [major: number, minor: number];
}

/** Oldest and newest minor version of Python 3 for which all of requirements.txt has wheels. */
const [OLDEST, NEWEST] = [11, 13];

const CANDIDATES = ["python3", "python", "python3.13", "python3.12", "python3.11"];

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
    const [major, minor] = python.version;
    if (major === 3 && minor >= OLDEST && minor <= NEWEST) return python;
    found.push(`${command} is ${python.version.join(".")}`);
  }
  const range = `3.${OLDEST} to 3.${NEWEST}`;
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
  const answer = await runTool(command, ["-I", "-c", program]).catch(() => "");
  const [, major, minor, executable] = /^(\d+) (\d+) (.+)$/.exec(answer.trim()) ?? [];
  return executable ? { executable, version: [Number(major), Number(minor)] } : null;
}
