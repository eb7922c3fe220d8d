/** What a layer computes; names and meanings are those of the Keras layer of the same kind. */
export type Operation =
  | { op: "input" }
  | { op: "zeroPadding"; pad: number }
  | { op: "conv2d"; filters: number } & Convolving
  /** One filter for each channel. */
  | { op: "depthwiseConv2d" } & Convolving
  | { op: "batchNorm"; epsilon: number; momentum: number }
  | { op: "activation"; activation: Activation }
  | { op: "maxPool"; size: number; stride: number }
  | { op: "add" }
  /** The mean of all its inputs, place by place. */
  | { op: "average" }
  /** A map times a number a channel, [channels], or a number a place, [height, width, 1]. */
  | { op: "multiply" }
  /** Outputs of one shape, one behind another; the batch is axis 0, as in Keras. */
  | { op: "concatenate"; axis: number }
  /** Of a map, over its places ([1, 1, channels]) or its channels ([height, width, 1]). */
  | { op: "reduce"; by: "mean" | "max"; over: "places" | "channels" }
  | { op: "globalAveragePool" }
  | { op: "dense"; units: number; activation: Activation | "linear" }
  | { op: "dropout"; rate: number }
  /** Keeps every `stride`-th row and column; only the cut at the freeze boundary makes one. */
  | { op: "subsample"; stride: number };

interface Convolving {
  kernelSize: number;
  stride: number;
  padding: Padding;
  bias: boolean;
}

/** Elementwise functions; softmax is over the last axis. */
export type Activation = "relu" | "relu6" | "sigmoid" | "softmax";

/** TensorFlow's: "same" pads to ⌈extent / stride⌉, the odd pixel at the bottom and right. */
export type Padding = "same" | "valid";

/** One layer: its Keras name, the layers it reads, and what it computes. */
export type Layer = Operation & { name: string; inputs: readonly string[] };

/** A network as plain data: layers in Keras' order, so that each reads only earlier ones. */
export type Graph = readonly Layer[];

/** Shape of one image's activation, without the batch axis. */
export type Shape = readonly number[];

/** How many numbers a tensor of this shape holds. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Name, shape and layer of one weight; names are `layer/kernel`, as in Keras' files. */
export interface WeightSpec {
  name: string;
  layer: string;
  shape: number[];
}

/** Output shapes of all layers for an input of [size, size, 3], by layer name. */
export function inferShapes(graph: Graph, inputs: ReadonlyMap<string, Shape>): Map<string, Shape> {
  const shapes = new Map<string, Shape>();
  for (const layer of graph) {
    const given = inputs.get(layer.name);
    shapes.set(layer.name, given ?? outputShape(layer, shapes.get(layer.inputs[0] ?? "") ?? []));
  }
  return shapes;
}

function outputShape(layer: Layer, input: Shape): Shape {
  const [height = 0, width = 0, channels = 0] = input;
  switch (layer.op) {
    case "zeroPadding":
      return [height + 2 * layer.pad, width + 2 * layer.pad, channels];
    case "conv2d":
      return [...spatial(layer.kernelSize, layer.stride, layer.padding), layer.filters];
    case "depthwiseConv2d":
      return [...spatial(layer.kernelSize, layer.stride, layer.padding), channels];
    case "maxPool":
      return [...spatial(layer.size, layer.stride, "valid"), channels];
    case "subsample":
      return [...spatial(1, layer.stride, "valid"), channels];
    case "globalAveragePool":
      return [channels];
    case "dense":
      return [layer.units];
    case "concatenate":
      return input.map((own, i) => i + 1 === layer.axis ? own * layer.inputs.length : own);
    case "reduce":
      return layer.over === "places" ? [1, 1, channels] : [height, width, 1];
    default:
      return input;
  }
  function spatial(kernel: number, stride: number, padding: Padding): number[] {
    return [height, width].map((extent) =>
      Math.ceil((padding === "same" ? extent : extent - kernel + 1) / stride)
    );
  }
}

/** The weights a graph needs, in Keras' order within each layer. */
export function weightSpecs(graph: Graph, inputs: ReadonlyMap<string, Shape>): WeightSpec[] {
  const shapes = inferShapes(graph, inputs);
  return graph.flatMap((layer) => {
    const channels = shapes.get(layer.inputs[0] ?? "")?.at(-1) ?? 0;
    return Object.entries(layerWeights(layer, channels)).map(([weight, shape]) => ({
      name: `${layer.name}/${weight}`,
      layer: layer.name,
      shape,
    }));
  });
}

function layerWeights(layer: Layer, channels: number): Record<string, number[]> {
  const own = [channels];
  switch (layer.op) {
    case "conv2d": {
      const kernel = [layer.kernelSize, layer.kernelSize, channels, layer.filters];
      return { kernel, ...layer.bias && { bias: [layer.filters] } };
    }
    case "depthwiseConv2d": {
      // the name in keras.applications' files and in tfjs; Keras 3 shortens it to "kernel"
      const depthwise_kernel = [layer.kernelSize, layer.kernelSize, channels, 1];
      return { depthwise_kernel, ...layer.bias && { bias: own } };
    }
    case "dense":
      return { kernel: [channels, layer.units], bias: [layer.units] };
    case "batchNorm":
      return { gamma: own, beta: own, moving_mean: own, moving_variance: own };
    default:
      return {};
  }
}

/** Whether gradient descent changes this weight; moving statistics are only ever averaged. */
export function isTrainable(weight: string): boolean {
  return !/\/moving_(mean|variance)$/.test(weight);
}

/** For each layer, the layers that read it. */
export function consumers(graph: Graph): Map<string, Layer[]> {
  const readers = new Map<string, Layer[]>(graph.map((layer) => [layer.name, []]));
  for (const layer of graph) {
    for (const input of layer.inputs) readers.get(input)?.push(layer);
  }
  return readers;
}

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
  const frozen = frozenPart(graph, frozenLayers);
  const trainable = graph.filter((layer) => !frozen.includes(layer));
  const boundary: string[] = [];
  for (const { name } of [...frozen]) {
    const readers = trainable.filter(({ inputs }) => inputs.includes(name));
    if (readers.length === 0) continue;
    const strides = new Set(readers.map(subsamplingStride));
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

/** The layers of a graph that never change when its first `frozenLayers` do not. */
export function frozenPart(graph: Graph, frozenLayers: number): Layer[] {
  const isFrozen = new Set<string>();
  return graph.filter(({ name, op, inputs }, index) => {
    const byDepth = index < Math.max(1, frozenLayers);
    const byNature = DETERMINISTIC_AND_WEIGHTLESS.has(op) && inputs.every((i) => isFrozen.has(i));
    if (byDepth || byNature) isFrozen.add(name);
    return byDepth || byNature;
  });
}

const DETERMINISTIC_AND_WEIGHTLESS: ReadonlySet<Layer["op"]> = new Set(
  [
    ...["zeroPadding", "activation", "maxPool", "globalAveragePool"] as const,
    ...["add", "multiply", "concatenate", "reduce"] as const,
  ],
);

function subsamplingStride(layer: Layer): number {
  return layer.op === "conv2d" && layer.kernelSize === 1 ? layer.stride : 1;
}
