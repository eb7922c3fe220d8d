import { Dataset, Group } from "h5wasm/node";

/**
 * What a Keras HDF5 file stores: for each layer its datasets, by the name of the weight where the
 * file tells it (`kernel`), else by its place among the layer's weights (`0`).
 */
export type StoredLayers = Map<string, Map<string, Dataset>>;

/** Models within models go this deep at most, so that a link to itself ends. */
const MAX_DEPTH = 8;

/**
 * Finds the layers of a Keras HDF5 file in either of its layouts.
 *
 * @param known Our layers with weights.
 * @param fileNames How Keras 3 calls our layers in files that don't tell their names.
 * @returns `null` when the file has neither layout.
 */
export function storedLayers(
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
