import h5wasm, { type Dataset } from "h5wasm/node";
import { ModelError } from "../errors.ts";
import type { WeightSpec } from "./graph.ts";
import { type StoredLayers, storedLayers } from "./keras_layouts.ts";

/** What is wanted from a Keras file. */
export interface WantedWeights {
  /** Without these the file is refused. */
  required: readonly WeightSpec[];
  /** Read as well when the file has all of their layers by name. */
  optional?: readonly WeightSpec[];
  /** See `kerasFileNames`; for files that don't tell the names of layers. */
  fileNames?: ReadonlyMap<string, string>;
  /** Name of the file for people, where it is a copy of another. */
  shownAs?: string;
}

/**
 * Reads weights from a Keras HDF5 file: `model.save_weights` and `model.save` of Keras 2 (the
 * official files too) and `.weights.h5` of Keras 3, whole models as well as bare backbones.
 *
 * Layers that are not wanted (a top, say) are left alone, but a convolution among them means that
 * the file belongs to a larger network of the same family, and is refused.
 *
 * @returns Values by our name of the weight (`layer/kernel`), row-major.
 * @throws {ModelError} When the file is damaged, no Keras file, or lacks a weight or has it in another
 * shape; the first mismatch is named.
 */
export async function readKerasH5(
  path: string,
  { required, optional = [], fileNames = new Map(), shownAs = path }: WantedWeights,
): Promise<Map<string, Float32Array>> {
  const library = await h5wasm.ready;
  library.activate_throwing_error_handler(); // else it writes its errors to the terminal and goes on
  let file: InstanceType<typeof h5wasm.File> | null = null;
  try {
    file = new h5wasm.File(path, "r");
    const known = new Set([...required, ...optional].map(({ layer }) => layer));
    const layers = storedLayers(file, known, fileNames);
    if (!layers) throw unusable(shownAs, "it holds no Keras layers");
    refuseLargerNetwork(shownAs, layers, known);
    const extra = optional.every(({ layer }) => layers.has(layer)) ? optional : [];
    const specs = [...required, ...extra];
    return new Map(specs.map((spec) => [spec.name, readWeight(shownAs, layers, spec, specs)]));
  } catch (cause) {
    if (cause instanceof ModelError) throw cause;
    throw unusable(shownAs, "it is cut off or damaged", cause);
  } finally {
    if (file !== null && file.file_id > 0n) file.close();
    library.deactivate_throwing_error_handler();
  }
}

function refuseLargerNetwork(
  shownAs: string,
  layers: StoredLayers,
  known: ReadonlySet<string>,
): void {
  for (const [layer, weights] of layers) {
    const isConvolution = [...weights.values()].some(({ shape }) => shape?.length === 4);
    if (isConvolution && !known.has(layer)) {
      throw unusable(shownAs, `its layer ${JSON.stringify(layer)} is not one of this backbone`);
    }
  }
}

function readWeight(
  shownAs: string,
  layers: StoredLayers,
  spec: WeightSpec,
  specs: readonly WeightSpec[],
): Float32Array {
  const stored = layers.get(spec.layer);
  const place = specs.filter(({ layer }) => layer === spec.layer).indexOf(spec);
  const weight = spec.name.slice(spec.layer.length + 1);
  const names = [weight, weight.replace("depthwise_", ""), String(place)]; // Keras 2, 3, unnamed
  const dataset: Dataset | undefined = names.map((name) => stored?.get(name)).find(Boolean);
  if (!dataset) throw unusable(shownAs, `the weight ${spec.name} is missing`);
  if (dataset.shape?.join() !== spec.shape.join()) {
    throw unusable(
      shownAs,
      `the weight ${spec.name} is [${dataset.shape}] where [${spec.shape}] is needed`,
    );
  }
  const values = dataset.value;
  if (!(values instanceof Float32Array)) {
    throw unusable(shownAs, `the weight ${spec.name} is not stored as 32-bit floats`);
  }
  if (!isFiniteThroughout(values)) {
    throw unusable(shownAs, `the weight ${spec.name} holds values that are no numbers`);
  }
  return values;
}

/** As `every(Number.isFinite)`, which takes ten times as long over millions of values. */
function isFiniteThroughout(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

/** The error of a weights file that was refused. */
export function unusable(path: string, reason: string, cause?: unknown): ModelError {
  return new ModelError(
    `${path} cannot be used: ${reason}. Nothing was loaded from it.`,
    "Get the file again from its source, and check that it belongs to this backbone " +
      "(model.backbone).",
    { cause },
  );
}
