import type { Graph, Layer, Shape } from "./graph.ts";

/**
 * A graph as the JSON of a functional Keras model (Keras 2 form, which tfjs' `loadLayersModel` and
 * Python Keras' reader of HDF5 files both take).
 *
 * @param inputs Shape of each input layer, without the batch axis.
 */
export function kerasTopology(
  name: string,
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
): Record<string, unknown> {
  const output = graph.at(-1)!.name;
  return {
    class_name: "Functional",
    config: {
      name,
      layers: graph.map((layer) => {
        const { className, config } = kerasLayer(layer, inputs.get(layer.name));
        return {
          class_name: className,
          config: { name: layer.name, trainable: true, dtype: "float32", ...config },
          name: layer.name,
          inbound_nodes: layer.inputs.length === 0
            ? []
            : [layer.inputs.map((input) => [input, 0, 0, {}])],
        };
      }),
      input_layers: [...inputs.keys()].map((input) => [input, 0, 0]),
      output_layers: [[output, 0, 0]],
    },
  };
}

function kerasLayer(
  layer: Layer,
  shape: Shape | undefined,
): { className: string; config: Record<string, unknown> } {
  const channelsLast = { data_format: "channels_last" };
  switch (layer.op) {
    case "input":
      return { className: "InputLayer", config: { batch_input_shape: [null, ...shape ?? []] } };
    case "zeroPadding": {
      const pad = [layer.pad, layer.pad];
      return { className: "ZeroPadding2D", config: { ...channelsLast, padding: [pad, pad] } };
    }
    case "conv2d":
      return {
        className: "Conv2D",
        config: {
          ...channelsLast,
          filters: layer.filters,
          kernel_size: [layer.kernelSize, layer.kernelSize],
          strides: [layer.stride, layer.stride],
          padding: layer.padding,
          dilation_rate: [1, 1],
          activation: "linear",
          use_bias: layer.bias,
        },
      };
    case "depthwiseConv2d":
      return {
        className: "DepthwiseConv2D",
        config: {
          ...channelsLast,
          kernel_size: [layer.kernelSize, layer.kernelSize],
          strides: [layer.stride, layer.stride],
          padding: layer.padding,
          depth_multiplier: 1,
          dilation_rate: [1, 1],
          activation: "linear",
          use_bias: layer.bias,
        },
      };
    case "batchNorm":
      return {
        className: "BatchNormalization",
        config: {
          axis: -1,
          momentum: layer.momentum,
          epsilon: layer.epsilon,
          center: true,
          scale: true,
        },
      };
    case "activation":
      return { className: "Activation", config: { activation: layer.activation } };
    case "maxPool":
      return {
        className: "MaxPooling2D",
        config: {
          ...channelsLast,
          pool_size: [layer.size, layer.size],
          strides: [layer.stride, layer.stride],
          padding: "valid",
        },
      };
    case "add":
      return { className: "Add", config: {} };
    case "globalAveragePool":
      return { className: "GlobalAveragePooling2D", config: channelsLast };
    case "dense":
      return {
        className: "Dense",
        config: { units: layer.units, activation: layer.activation, use_bias: true },
      };
    case "dropout":
      return { className: "Dropout", config: { rate: layer.rate } };
    case "subsample":
      throw new Error("only whole models are written, and a whole model has no subsample layer");
  }
}
