import type { Graph, Layer, Operation } from "./graph.ts";

/** Those of the TensorFlow original. */
const EPSILON = 1e-3;
const MOMENTUM = 0.99;

/** A stage's blocks; the first has the stride, and all but it have a skip connection. */
interface StageSettings {
  blocks: number;
  kernelSize: number;
  stride: number;
  /** Channels inside a block, as a multiple of those it reads. */
  expansion: number;
  /** Channels a block gives. */
  channels: number;
}

const STAGES: readonly StageSettings[] = [
  { blocks: 1, kernelSize: 3, stride: 1, expansion: 1, channels: 16 }, // block1: [112, 112, 16]
  { blocks: 2, kernelSize: 3, stride: 2, expansion: 6, channels: 24 }, // block2: [56, 56, 24]
  { blocks: 2, kernelSize: 5, stride: 2, expansion: 6, channels: 40 }, // block3: [28, 28, 40]
  { blocks: 3, kernelSize: 3, stride: 2, expansion: 6, channels: 80 }, // block4: [14, 14, 80]
  { blocks: 3, kernelSize: 5, stride: 1, expansion: 6, channels: 112 }, // block5: [14, 14, 112]
  { blocks: 4, kernelSize: 5, stride: 2, expansion: 6, channels: 192 }, // block6: [7, 7, 192]
  { blocks: 1, kernelSize: 3, stride: 1, expansion: 6, channels: 320 }, // block7: [7, 7, 320]
];

/**
 * EfficientNet-Lite0 without its top: EfficientNet-B0 (Tan and Le, ICML 2019) without
 * squeeze-and-excitation, with ReLU6 in place of swish, and with a stem and a top that are not
 * scaled (TensorFlow's `efficientnet/lite`). 141 layers with the names that
 * `keras.applications.EfficientNetB0` gives the same ones. Stochastic depth is left out: it is the
 * identity except when training from nothing.
 *
 * Input [size, size, 3], output [size/32, size/32, 1280].
 */
export function efficientnetLite0(): Graph {
  const layers: Layer[] = [];
  const add = (name: string, inputs: string[], operation: Operation): string => {
    layers.push({ name, inputs, ...operation });
    return name;
  };
  const batchNorm = (name: string, input: string) =>
    add(name, [input], { op: "batchNorm", epsilon: EPSILON, momentum: MOMENTUM });
  const relu6 = (name: string, input: string) =>
    add(name, [input], { op: "activation", activation: "relu6" });
  const conv = (name: string, input: string, filters: number, kernelSize: number, stride = 1) =>
    add(name, [input], {
      op: "conv2d",
      filters,
      kernelSize,
      stride,
      padding: "same",
      bias: false,
    });

  /** 1×1 expand, depthwise, 1×1 project without activation (an inverted residual, MobileNetV2). */
  const block = (
    name: string,
    input: string,
    inner: number,
    { kernelSize, stride, expansion, channels }: StageSettings,
    skips: boolean,
  ): string => {
    let x = input;
    if (expansion !== 1) {
      x = batchNorm(`${name}_expand_bn`, conv(`${name}_expand_conv`, x, inner, 1));
      x = relu6(`${name}_expand_activation`, x);
    }
    x = add(`${name}_dwconv`, [x], {
      op: "depthwiseConv2d",
      kernelSize,
      stride,
      padding: "same",
      bias: false,
    });
    x = relu6(`${name}_activation`, batchNorm(`${name}_bn`, x));
    x = batchNorm(`${name}_project_bn`, conv(`${name}_project_conv`, x, channels, 1));
    return skips ? add(`${name}_add`, [x, input], { op: "add" }) : x;
  };

  let x = add("input_layer", [], { op: "input" }); // [224, 224, 3]
  x = relu6("stem_activation", batchNorm("stem_bn", conv("stem_conv", x, 32, 3, 2))); // [112, 112, 32]
  let width = 32;
  for (const [name, settings, isFirst] of blocks()) {
    const stride = isFirst ? settings.stride : 1;
    x = block(name, x, width * settings.expansion, { ...settings, stride }, !isFirst);
    width = settings.channels;
  }
  relu6("top_activation", batchNorm("top_bn", conv("top_conv", x, 1280, 1)));
  return layers;
}

/** Names of the 16 blocks, `block1a` to `block7a`, in order. */
export function blockNames(): string[] {
  return blocks().map(([name]) => name);
}

function blocks(): [name: string, settings: StageSettings, isFirst: boolean][] {
  return STAGES.flatMap((settings, stage) =>
    Array.from({ length: settings.blocks }, (_, b): [string, StageSettings, boolean] => [
      `block${stage + 1}${"abcd"[b]}`,
      settings,
      b === 0,
    ])
  );
}
