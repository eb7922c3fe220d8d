import { consumers, type Graph, type Layer } from "./graph.ts";

/** A network in two parts: what never changes, and what is trained on its outputs. */
export interface Cut {
  /** Run in inference mode; its results for an image never change, so they may be kept. */
  frozen: Graph;
  /** Begins with one `input` layer for each boundary tensor. */
  trainable: Graph;
  /** Names of the frozen layers whose outputs the trainable part reads. */
  boundary: string[];
}

/**
 * Cuts a graph at the freeze boundary.
 *
 * The trainable part begins after the first `frozenLayers` layers. Layers right behind that compute
 * the same every time (no weights, no randomness, frozen inputs) go to the frozen part as well, so
 * that what is kept is what the first weights read: with nothing unfrozen that is the pooled
 * features, not the map. A boundary tensor that only 1×1 convolutions of stride 2 read is
 * subsampled before it crosses, for three quarters of it are never looked at.
 *
 * @param frozenLayers Layers from the start that are frozen; the input layer always is.
 */
export function cutGraph(graph: Graph, frozenLayers: number): Cut {
  const isFrozen = new Set<string>();
  graph.forEach((layer, index) => {
    const byDepth = index < Math.max(1, frozenLayers);
    const byNature = isDeterministicAndWeightless(layer) &&
      layer.inputs.every((name) => isFrozen.has(name));
    if (byDepth || byNature) isFrozen.add(layer.name);
  });
  const readers = consumers(graph);
  const readersBeyond = (name: string) =>
    (readers.get(name) ?? []).filter((layer) => !isFrozen.has(layer.name));

  const frozen = graph.filter((layer) => isFrozen.has(layer.name));
  const trainable = graph.filter((layer) => !isFrozen.has(layer.name));
  const boundary: string[] = [];
  const crossing = frozen.filter((layer) => readersBeyond(layer.name).length > 0);
  for (const { name } of crossing) {
    const strides = new Set(readersBeyond(name).map(subsamplingStride));
    const [stride = 1] = strides;
    if (strides.size > 1 || stride === 1) {
      boundary.push(name);
      continue;
    }
    const crossingName = `${name}_subsampled`;
    frozen.push({ name: crossingName, inputs: [name], op: "subsample", stride });
    boundary.push(crossingName);
    trainable.forEach((layer, index) => {
      if (layer.op !== "conv2d" || layer.inputs[0] !== name) return;
      trainable[index] = { ...layer, inputs: [crossingName], stride: 1 };
    });
  }
  const inputs = boundary.map((name): Layer => ({ name, inputs: [], op: "input" }));
  return { frozen, trainable: [...inputs, ...trainable], boundary };
}

function isDeterministicAndWeightless(layer: Layer): boolean {
  return ["zeroPadding", "activation", "maxPool", "add", "globalAveragePool"].includes(layer.op);
}

function subsamplingStride(layer: Layer): number {
  return layer.op === "conv2d" && layer.kernelSize === 1 ? layer.stride : 1;
}
