import h5wasm, { Dataset, Group } from "h5wasm/node";
import { ModelError } from "../errors.ts";
import type { WeightSpec } from "./graph.ts";

const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]; // "\x89HDF\r\n\x1a\n"

/**
 * Reads weights from a Keras HDF5 file (`model.save_weights`, or `model.save` in its `.h5` form):
 * one group a layer, whose attribute `weight_names` lists its datasets.
 *
 * @param specs What is wanted; other layers of the file (a top, say) are left alone.
 * @returns Values by our name of the weight (`layer/kernel`), row-major.
 * @throws {ModelError} When the file is missing, no HDF5, or lacks a weight or has it in another
 * shape; the first mismatch is named.
 */
export async function readKerasH5(
  path: string,
  specs: readonly WeightSpec[],
): Promise<Map<string, Float32Array>> {
  await requireHdf5(path);
  await h5wasm.ready;
  const file = new h5wasm.File(path, "r");
  if (file.file_id < 0n) throw damaged(path, "its HDF5 structure cannot be read");
  try {
    const root = file.get("model_weights") ?? file;
    if (!(root instanceof Group)) throw damaged(path, "it holds no Keras layers");
    return new Map(specs.map((spec) => [spec.name, readWeight(path, root, spec)]));
  } finally {
    file.close();
  }
}

async function requireHdf5(path: string): Promise<void> {
  const start = new Uint8Array(SIGNATURE.length);
  try {
    using file = await Deno.open(path);
    await file.read(start);
  } catch (cause) {
    throw new ModelError(`${path} cannot be read.`, "Check the path and its permissions.", {
      cause,
    });
  }
  if (SIGNATURE.some((byte, index) => byte !== start[index])) {
    throw damaged(path, "it is not an HDF5 file");
  }
}

function readWeight(path: string, root: Group, spec: WeightSpec): Float32Array {
  const weight = spec.name.slice(spec.layer.length + 1);
  const group = root.keys().includes(spec.layer) ? root.get(spec.layer) : null;
  const names: unknown = group instanceof Group ? group.attrs["weight_names"]?.value : null;
  const dataset = Array.isArray(names)
    ? names.find((name) => new RegExp(`/${weight}(:0)?$`).test(String(name)))
    : undefined;
  const found = dataset === undefined || !(group instanceof Group)
    ? null
    : group.get(String(dataset));
  if (!(found instanceof Dataset)) throw damaged(path, `the weight ${spec.name} is missing`);
  if (found.shape?.join() !== spec.shape.join()) {
    throw damaged(
      path,
      `the weight ${spec.name} is [${found.shape}] where [${spec.shape}] is needed`,
    );
  }
  if (!(found.value instanceof Float32Array)) {
    throw damaged(path, `the weight ${spec.name} is not stored as 32-bit floats`);
  }
  return found.value;
}

function damaged(path: string, reason: string): ModelError {
  return new ModelError(
    `${path} cannot be used: ${reason}. Nothing was loaded from it.`,
    "Get the file again from its source, and check that it belongs to this backbone.",
  );
}
