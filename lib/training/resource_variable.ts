import { nativeBackend, type TensorFlow } from "../setup/tensorflow.ts";

/**
 * A variable that TensorFlow itself holds, so that its fused optimizer kernels can change it in
 * place. tfjs' own variables are tensors that are replaced.
 */
export interface ResourceVariable {
  /** What TensorFlow's kernels take. */
  handle: TensorFlow.Tensor;
  shape: number[];
  /**
   * The value now; the caller disposes it. No copy is made: as long as it is there, the next change
   * makes one.
   */
  read(): TensorFlow.Tensor;
  /** Takes a value over; the tensor stays the caller's. */
  assign(value: TensorFlow.Tensor): void;
  dispose(): void;
}

/** TensorFlow's name for variables that live as long as their handle (`ResourceHandle`). */
const ANONYMOUS = "cd2c89b7-88b7-44c8-ad83-06c2a9158347";

/** A variable of 32-bit floats that begins with this value; the tensor stays the caller's. */
export function createResourceVariable(value: TensorFlow.Tensor): ResourceVariable {
  const backend = nativeBackend();
  const { TF_ATTR_TYPE, TF_ATTR_SHAPE, TF_ATTR_STRING, TF_FLOAT } = backend.binding;
  const dtype = { name: "dtype", type: TF_ATTR_TYPE, value: TF_FLOAT };
  const { shape } = value;
  const handle = backend.executeSingleOutput("VarHandleOp", [
    dtype,
    { name: "shape", type: TF_ATTR_SHAPE, value: shape },
    { name: "container", type: TF_ATTR_STRING, value: "" },
    { name: "shared_name", type: TF_ATTR_STRING, value: ANONYMOUS },
  ], []);
  const assign = (next: TensorFlow.Tensor): void => {
    backend.executeMultipleOutputs("AssignVariableOp", [dtype], [handle, next], 0);
  };
  assign(value);
  return {
    handle,
    shape,
    read: () => backend.executeSingleOutput("ReadVariableOp", [dtype], [handle]),
    assign,
    dispose: () => handle.dispose(),
  };
}
