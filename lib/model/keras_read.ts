import h5wasm, { Dataset, Group } from "h5wasm/node";
import { ModelError } from "../core/errors.ts";
import type { WeightSpec } from "./graph.ts";

/** What is wanted from a Keras file. */
interface WantedWeights {
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

/**
 * What a Keras HDF5 file stores: for each layer its datasets, by the name of the weight where the
 * file tells it (`kernel`), else by its place among the layer's weights (`0`).
 */
type StoredLayers = Map<string, Map<string, Dataset>>;

/** Models within models go this deep at most, so that a link to itself ends. */
const MAX_DEPTH = 8;

/**
 * Finds the layers of a Keras HDF5 file in either of its layouts.
 *
 * @param known Our layers with weights.
 * @param fileNames How Keras 3 calls our layers in files that don't tell their names.
 * @returns `null` when the file has neither layout.
 */
function storedLayers(
  root: Group,
  known: ReadonlySet<string>,
  fileNames: ReadonlyMap<string, string>,
): StoredLayers | null {
  const legacy = child(root, "model_weights") ?? root;
  if ("layer_names" in legacy.attrs || "layer_names0" in legacy.attrs) {
    return legacyLayers(legacy, known);
  }
  if (child(root, "layers") || child(root, "_layer_checkpoint_dependencies")) {
    const containers = layerContainers(root, 0);
    return namedLayers(containers) ?? unnamedLayers(containers, fileNames);
  }
  return null;
}

/**
 * `model.save_weights` of Keras 2 and `model.save("x.h5")` of any: a group a layer, whose attribute
 * `weight_names` lists its datasets; that of a model within the model lists all of its layers'.
 */
function legacyLayers(root: Group, known: ReadonlySet<string>): StoredLayers {
  const layers: StoredLayers = new Map();
  for (const groupName of root.keys()) {
    const group = child(root, groupName);
    for (const path of group ? textList(group, "weight_names") : []) {
      const [weight = "", scope = groupName] = path.replace(/:0$/, "").split("/").reverse();
      const dataset = group?.get(path);
      if (!(dataset instanceof Dataset)) continue;
      put(layers, known.has(groupName) ? groupName : scope, weight, dataset);
    }
  }
  return layers;
}

/** A list of texts, which Keras splits over `name0`, `name1`, ... when it is long. */
function textList({ attrs }: Group, name: string): string[] {
  const parts = Object.keys(attrs)
    .filter((key) => key.startsWith(name) && /^\d*$/.test(key.slice(name.length)))
    .sort((a, b) => Number(a.slice(name.length)) - Number(b.slice(name.length)));
  return parts.flatMap((key) => {
    const value: unknown = attrs[key]?.value;
    return Array.isArray(value) ? value.map(String) : [];
  });
}

/** Groups named `layers`, of the model and of models within it: each with its layers' groups. */
function layerContainers(group: Group, depth: number): [string, Group][][] {
  if (depth > MAX_DEPTH) return [];
  const found: [string, Group][][] = [];
  for (const name of ["layers", "_layer_checkpoint_dependencies"]) {
    const container = child(group, name);
    if (!container) continue;
    const layers = container.keys().flatMap((key): [string, Group][] => {
      const layer = child(container, key);
      return layer ? [[key, layer]] : [];
    });
    found.push(layers, ...layers.flatMap(([, layer]) => layerContainers(layer, depth + 1)));
  }
  return found;
}

/** Keras 3 since about 3.6: `layers/conv2d_1/vars/0`, where `vars` has the layer's name. */
function namedLayers(containers: [string, Group][][]): StoredLayers | null {
  const layers: StoredLayers = new Map();
  for (const [, layer] of containers.flat()) {
    const variables = child(layer, "vars");
    const name: unknown = variables?.attrs["name"]?.value;
    if (variables && typeof name === "string") putAll(layers, name, variables);
  }
  return layers.size > 0 ? layers : null;
}

/**
 * Keras 3 before that: only the numbered names. Ours are those of the container with the most
 * convolutions; what it has beyond ours keeps its own name.
 */
function unnamedLayers(
  containers: [string, Group][][],
  fileNames: ReadonlyMap<string, string>,
): StoredLayers {
  const convolutions = (container: [string, Group][]) =>
    container.filter(([name]) => name.startsWith("conv2d")).length;
  const [container = []] = containers.toSorted((a, b) => convolutions(b) - convolutions(a));
  const ours = new Map([...fileNames].map(([layer, fileName]) => [fileName, layer]));
  const layers: StoredLayers = new Map();
  for (const [fileName, layer] of container) {
    const variables = child(layer, "vars");
    if (variables) putAll(layers, ours.get(fileName) ?? fileName, variables);
  }
  return layers;
}

function putAll(layers: StoredLayers, layer: string, variables: Group): void {
  for (const place of variables.keys()) {
    const dataset = variables.get(place);
    if (dataset instanceof Dataset) put(layers, layer, place, dataset);
  }
}

function put(layers: StoredLayers, layer: string, weight: string, dataset: Dataset): void {
  const weights = layers.get(layer) ?? new Map<string, Dataset>();
  layers.set(layer, weights.set(weight, dataset));
}

function child(group: Group, name: string): Group | null {
  if (!group.keys().includes(name)) return null;
  const found = group.get(name);
  return found instanceof Group ? found : null;
}
