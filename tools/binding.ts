import { basename, join } from "node:path";
import { reasonOf, SetupError } from "../lib/core/errors.ts";
import { exists } from "../lib/core/files.ts";
import { projectRoot } from "../lib/core/paths.ts";
import { runTool, ToolError, venvFolder, venvPython } from "../lib/core/python.ts";
import { digest, hasStamp, type Step, writeStamp } from "./step.ts";
import { pip } from "./venv.ts";

const packageFolder = join(projectRoot, "node_modules", "@tensorflow", "tfjs-node-gpu");

const sourceFolder = join(packageFolder, "binding");

const bindingPath = join(packageFolder, "lib", "napi-v8", "tfjs_binding.node");

const stampPath = `${bindingPath}.stamp`;

/**
 * The native half of `@tensorflow/tfjs-node-gpu`, compiled from the sources in the package against
 * the TensorFlow of the .venv. The package's own download would bring a TensorFlow of 2022.
 */
export const bindingStep: Step = {
  name: "TensorFlow binding",
  remedy: "Install a C++ compiler (Debian and Ubuntu: the package g++) or name one in the " +
    "variable CXX, then run the same command again.",
  isDone: async () =>
    await exists(bindingPath) && await hasStamp(stampPath, await wanted().catch(() => "")),
  run: async (report) => {
    const temporary = `${bindingPath}.${Deno.pid}.tmp`;
    await Deno.mkdir(join(bindingPath, ".."), { recursive: true });
    try {
      await compile(temporary, report);
      await Deno.rename(temporary, bindingPath);
    } finally {
      await Deno.remove(temporary).catch(() => {});
    }
    report("trying it");
    await prove();
    await writeStamp(stampPath, await wanted());
  },
};

/**
 * The arguments that build the binding.
 *
 * @param paths `tensorflow`: the folder of the installed wheel; `output`: the file to write.
 */
export function compileArguments(
  paths: { sources: readonly string[]; nodeHeaders: string; tensorflow: string; output: string },
  os: typeof Deno.build.os,
): string[] {
  const library = (name: string) =>
    join(paths.tensorflow, os === "darwin" ? `${name}.2.dylib` : `${name}.so.2`);
  return [
    ...["-std=c++17", "-O2", "-fPIC", "-shared", "-DNAPI_VERSION=8"],
    // The Node-API symbols are those of the running Deno; macOS wants to be told.
    ...(os === "darwin" ? ["-undefined", "dynamic_lookup"] : []),
    ...["-I", paths.nodeHeaders, "-I", join(paths.tensorflow, "include"), "-o", paths.output],
    ...paths.sources,
    ...[library("libtensorflow_cc"), library("libtensorflow_framework")],
    `-Wl,-rpath,${paths.tensorflow}`,
  ];
}

/** Everything that the binding depends on: when any of it changes, it is built anew. */
async function wanted(): Promise<string> {
  const tensorflow = await tensorflowFolder();
  const installed = await list(join(tensorflow, ".."), /^tensorflow(_cpu)?-.*\.dist-info$/);
  const files = [join(packageFolder, "package.json"), ...await list(sourceFolder, /\.(cc|h)$/)];
  const [npm, ...sources] = await Promise.all(files.map((path) => Deno.readTextFile(path)));
  const wheels = installed.map((path) => basename(path));
  return digest([tensorflow, ...wheels, npm!, Deno.build.target, ...sources]);
}

async function compile(output: string, report: (line: string) => void): Promise<void> {
  const args = compileArguments({
    sources: await list(sourceFolder, /\.cc$/),
    nodeHeaders: join(projectRoot, "node_modules", "node-api-headers", "include"),
    tensorflow: await tensorflowFolder(),
    output,
  }, Deno.build.os);
  const failures: string[] = [];
  for (const find of [systemCompiler, zigCompiler]) {
    try {
      const [command, ...options] = await find(report);
      if (command === undefined) continue;
      report(`compiling with ${[command, ...options].join(" ")}`);
      await runTool(command, [...options, ...args], { cwd: projectRoot });
      return;
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      failures.push(error.message);
    }
  }
  throw new SetupError(failures.join("\n"), bindingStep.remedy);
}

/** $CXX, else the first of g++, clang++ and c++ that starts; a program and its first arguments. */
async function systemCompiler(): Promise<string[]> {
  const chosen = Deno.env.get("CXX")?.trim();
  if (chosen) return chosen.split(/\s+/);
  for (const command of ["g++", "clang++", "c++"]) {
    if (await runTool(command, ["--version"]).then(() => true, () => false)) return [command];
  }
  return [];
}

/** Zig's C++ compiler, which comes from PyPI and needs nothing of the system. */
async function zigCompiler(report: (line: string) => void): Promise<string[]> {
  await pip(["install", "ziglang==0.17.1"], report);
  return [venvPython, "-m", "ziglang", "c++"];
}

/** Loads the binding in a process of its own: a crash there is a message here. */
async function prove(): Promise<void> {
  const args = ["run", "-A", "--no-check", join(import.meta.dirname!, "prove_binding.ts")];
  const env = { TF_CPP_MIN_LOG_LEVEL: "0" }; // what it says before a crash is the reason
  await runTool(Deno.execPath(), args, { cwd: projectRoot, env }).catch(async (cause) => {
    // No notebook shall meet a binding that does not work.
    await Deno.remove(bindingPath);
    throw new SetupError(
      `it was built but does not work: ${reasonOf(cause)}`,
      "Delete the folder .venv and run the same command again; if it fails in the same way, this " +
        "machine's TensorFlow or compiler is not supported.",
      { cause },
    );
  });
}

/** Paths of a folder's entries whose name matches, sorted. */
async function list(folder: string, pattern: RegExp): Promise<string[]> {
  const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  return names.filter((name) => pattern.test(name)).sort().map((name) => join(folder, name));
}

async function tensorflowFolder(): Promise<string> {
  for (const python of await list(join(venvFolder, "lib"), /^python3\./)) {
    const folder = join(python, "site-packages", "tensorflow");
    if (await exists(join(folder, "include"))) return folder;
  }
  throw new SetupError(
    `There is no TensorFlow in ${venvFolder}.`,
    "Delete the folder .venv and run the same command again.",
  );
}
