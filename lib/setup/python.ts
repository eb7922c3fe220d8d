import { SetupError } from "../errors.ts";
import { runTool } from "./tool.ts";

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
