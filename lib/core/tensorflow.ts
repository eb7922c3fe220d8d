import nodeUtil from "node:util";
import type * as TensorFlow from "@tensorflow/tfjs-node-gpu";
import sharp from "sharp";
import { reasonOf, SetupError } from "./errors.ts";

export type { TensorFlow };

/** Information in the format of Abseil's log, and what is said before its first line. */
const GREETING =
  /^(I\d{4} [\d:.]+ |WARNING: All log messages before absl::|To enable the following instructions: )/;

const STDERR = 2;

/** TensorFlow's native backend: everything in the project computes through this one object. */
export const tf: typeof TensorFlow = await withoutGreeting(loadTensorFlow);

async function loadTensorFlow(): Promise<typeof TensorFlow> {
  // tfjs-node calls this function, which Node and Deno removed; it must be back before the import.
  const util = nodeUtil as unknown as { isNullOrUndefined?: (value: unknown) => boolean };
  util.isNullOrUndefined ??= (value) => value === null || value === undefined;
  let module: typeof TensorFlow;
  try {
    module = await import("@tensorflow/tfjs-node-gpu");
  } catch (cause) {
    throw new SetupError(
      `TensorFlow's native binding cannot be loaded: ${reasonOf(cause).split("\n")[0]}`,
      "Run `deno task setup` in the project's folder (it builds what is missing), then restart " +
        "the kernel.",
      { cause },
    );
  }
  module.env().set("PROD", true); // skips shape-by-shape validation and its warnings
  await module.ready();
  return module;
}

/** An attribute of an operation; `type` and type-like values are numbers of the binding. */
type OpAttribute = { name: string; type: number; value: boolean | number | string | number[] };

type Operation = [name: string, attributes: OpAttribute[], inputs: TensorFlow.TensorInfo[]];

/** What the native backend offers beyond the public tfjs API. */
interface NativeBackend {
  executeSingleOutput(...operation: Operation): TensorFlow.Tensor;
  executeMultipleOutputs(...operation: [...Operation, outputs: number]): TensorFlow.Tensor[];
  isUsingGpuDevice: boolean;
  binding:
    & Record<
      "TF_ATTR_BOOL" | "TF_ATTR_SHAPE" | "TF_ATTR_STRING" | "TF_ATTR_TYPE" | "TF_FLOAT",
      number
    >
    & { TF_Version: string };
}

/** The backend itself, for operations that tfjs has no function for. */
export function nativeBackend(): NativeBackend {
  return tf.backend() as unknown as NativeBackend;
}

/**
 * Runs what loads a native library, without what that writes to the terminal as information.
 * TensorFlow greets everyone at every start with lines that begin with "WARNING", and no variable
 * silences them. Everything else it writes, such as errors, comes after the work.
 *
 * Where the C library cannot be reached, or `TF_CPP_MIN_LOG_LEVEL` is 0, all is written as it comes.
 */
export async function withoutGreeting<T>(work: () => Promise<T>): Promise<T> {
  const restore = Deno.env.get("TF_CPP_MIN_LOG_LEVEL") === "0" ? null : await divertStderr();
  try {
    return await work();
  } finally {
    const text = await restore?.() ?? "";
    const lines = text.split("\n").filter((line) => !GREETING.test(line)).join("\n");
    if (lines !== "") await Deno.stderr.write(new TextEncoder().encode(lines));
  }
}

/** Standard error goes to a file until the function returned is called, which gives what came. */
async function divertStderr(): Promise<(() => Promise<string>) | null> {
  if (Deno.build.os !== "linux") return null;
  let libc;
  try {
    libc = Deno.dlopen("libc.so.6", {
      creat: { parameters: ["buffer", "u32"], result: "i32" },
      dup: { parameters: ["i32"], result: "i32" },
      dup2: { parameters: ["i32", "i32"], result: "i32" },
      close: { parameters: ["i32"], result: "i32" },
    });
  } catch {
    return null; // another C library: then it stays as it is
  }
  const { creat, dup, dup2, close } = libc.symbols;
  const path = await Deno.makeTempFile();
  const file = creat(new TextEncoder().encode(`${path}\0`), 0o600);
  const terminal = dup(STDERR);
  const isDiverted = file >= 0 && terminal >= 0 && dup2(file, STDERR) >= 0;
  if (file >= 0) close(file);
  return async () => {
    if (isDiverted) dup2(terminal, STDERR);
    if (terminal >= 0) close(terminal);
    libc.close();
    const text = await Deno.readTextFile(path);
    await Deno.remove(path);
    return text;
  };
}

/** Versions of what decides a result, by name: for notebook 01 and the model card. */
export function versions(): Record<string, string> {
  return {
    deno: Deno.version.deno,
    tensorflow: nativeBackend().binding.TF_Version,
    tfjs: tf.version["tfjs-core"],
    sharp: sharp.versions.sharp ?? "unknown",
    libvips: sharp.versions.vips,
  };
}

/** What the computer offers, as rows of a table. */
export function environment(): { name: string; value: string }[] {
  const gigabytes = (Deno.systemMemoryInfo().total / 1e9).toFixed(0);
  return [
    ...Object.entries(versions()).map(([name, value]) => ({ name, value })),
    { name: "computes on", value: nativeBackend().isUsingGpuDevice ? "GPU (CUDA)" : "CPU" },
    { name: "processor cores", value: String(navigator.hardwareConcurrency) },
    { name: "memory", value: `${gigabytes} GB` },
    { name: "system", value: `${Deno.build.os} ${Deno.build.arch}` },
  ];
}
