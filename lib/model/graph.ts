/** What a layer computes; names and meanings are those of the Keras layer of the same kind. */
export type Operation =
  | { op: "input" }
  | { op: "zeroPadding"; pad: number }
  | {
    op: "conv2d";
    filters: number;
    kernelSize: number;
    stride: number;
    padding: Padding;
    bias: boolean;
  }
  /** One filter for each channel. */
  | { op: "depthwiseConv2d"; kernelSize: number; stride: number; padding: Padding; bias: boolean }
  | { op: "batchNorm"; epsilon: number; momentum: number }
  | { op: "activation"; activation: Activation }
  | { op: "maxPool"; size: number; stride: number }
  | { op: "add" }
  | { op: "globalAveragePool" }
  | { op: "dense"; units: number; activation: Activation | "linear" }
  | { op: "dropout"; rate: number }
  /** Keeps every `stride`-th row and column; only the cut at the freeze boundary makes one. */
  | { op: "subsample"; stride: number };

/** Elementwise functions; softmax is over the last axis. */
export type Activation = "relu" | "relu6" | "softmax";

/** TensorFlow's: "same" pads to ⌈extent / stride⌉, the odd pixel at the bottom and right. */
export type Padding = "same" | "valid";

/** One layer: its Keras name, the layers it reads, and what it computes. */
export type Layer = Operation & { name: string; inputs: readonly string[] };

/** A network as plain data: layers in Keras' order, so that each reads only earlier ones. */
export type Graph = readonly Layer[];

/** Shape of one image's activation, without the batch axis. */
export type Shape = readonly number[];

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
    default:
      return input;
  }
  function spatial(kernel: number, stride: number, padding: Padding): [number, number] {
    const along = (extent: number) =>
      Math.ceil((padding === "same" ? extent : extent - kernel + 1) / stride);
    return [along(height), along(width)];
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
  switch (layer.op) {
    case "conv2d":
      return {
        kernel: [layer.kernelSize, layer.kernelSize, channels, layer.filters],
        ...(layer.bias ? { bias: [layer.filters] } : {}),
      };
    case "depthwiseConv2d":
      return {
        // the name in keras.applications' files and in tfjs; Keras 3 shortens it to "kernel"
        depthwise_kernel: [layer.kernelSize, layer.kernelSize, channels, 1],
        ...(layer.bias ? { bias: [channels] } : {}),
      };
    case "dense":
      return { kernel: [channels, layer.units], bias: [layer.units] };
    case "batchNorm":
      return {
        gamma: [channels],
        beta: [channels],
        moving_mean: [channels],
        moving_variance: [channels],
      };
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
