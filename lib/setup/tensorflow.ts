import nodeUtil from "node:util";
import type * as TensorFlow from "@tensorflow/tfjs-node-gpu";
import { SetupError } from "../errors.ts";
import { withoutGreeting } from "./without_greeting.ts";

export type { TensorFlow };

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
      `TensorFlow's native binding cannot be loaded: ${
        cause instanceof Error ? cause.message.split("\n")[0] : cause
      }`,
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
export interface OpAttribute {
  name: string;
  type: number;
  value: boolean | number | string | number[];
}

/** What the native backend offers beyond the public tfjs API. */
export interface NativeBackend {
  executeSingleOutput(
    name: string,
    attributes: OpAttribute[],
    inputs: TensorFlow.TensorInfo[],
  ): TensorFlow.Tensor;
  executeMultipleOutputs(
    name: string,
    attributes: OpAttribute[],
    inputs: TensorFlow.TensorInfo[],
    outputs: number,
  ): TensorFlow.Tensor[];
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
