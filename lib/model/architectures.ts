import type { Config } from "../core/settings.ts";
import type { Graph, Layer, Operation, Padding } from "./graph.ts";

/** Keras builds ResNet50 with this BatchNorm epsilon, not with its default of 1e-3. */
const RESNET_EPSILON = 1.001e-5;

/** Keras' default; `moving = 0.99 moving + 0.01 batch`. */
const MOMENTUM = 0.99;

/**
 * ResNet50 without its top (He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition",
 * CVPR 2016), layer by layer as `keras.applications.ResNet50(include_top=False)` has it: 175 layers
 * with the same names in the same order, so that a freeze depth counted in layers means the same.
 * Stride 2 sits in the first 1×1 convolution of a stage, as in Keras and the paper.
 *
 * Input [size, size, 3], output [size/32, size/32, 2048].
 */
export function resnet50(): Graph {
  const layers: Layer[] = [];
  const add = (name: string, inputs: string[], operation: Operation): string => {
    layers.push({ name, inputs, ...operation });
    return name;
  };
  const batchNorm = (name: string, input: string) =>
    add(name, [input], { op: "batchNorm", epsilon: RESNET_EPSILON, momentum: MOMENTUM });
  const relu = (name: string, input: string) =>
    add(name, [input], { op: "activation", activation: "relu" });
  const conv = (
    name: string,
    input: string,
    filters: number,
    kernelSize: number,
    stride = 1,
    padding: Padding = "valid",
  ) => add(name, [input], { op: "conv2d", filters, kernelSize, stride, padding, bias: true });

  /** 1×1 reduce, 3×3, 1×1 expand, added to the shortcut. */
  const block = (
    name: string,
    input: string,
    filters: number,
    stride: number,
    project: boolean,
  ) => {
    let x = conv(`${name}_1_conv`, input, filters, 1, stride);
    x = relu(`${name}_1_relu`, batchNorm(`${name}_1_bn`, x));
    x = conv(`${name}_2_conv`, x, filters, 3, 1, "same");
    x = relu(`${name}_2_relu`, batchNorm(`${name}_2_bn`, x));
    let shortcut = project ? conv(`${name}_0_conv`, input, 4 * filters, 1, stride) : input;
    x = conv(`${name}_3_conv`, x, 4 * filters, 1);
    if (project) shortcut = batchNorm(`${name}_0_bn`, shortcut);
    x = batchNorm(`${name}_3_bn`, x);
    return relu(`${name}_out`, add(`${name}_add`, [shortcut, x], { op: "add" }));
  };

  let x = add("input_layer", [], { op: "input" }); // [224, 224, 3]
  x = add("conv1_pad", [x], { op: "zeroPadding", pad: 3 });
  x = relu("conv1_relu", batchNorm("conv1_bn", conv("conv1_conv", x, 64, 7, 2))); // [112, 112, 64]
  x = add("pool1_pad", [x], { op: "zeroPadding", pad: 1 });
  x = add("pool1_pool", [x], { op: "maxPool", size: 3, stride: 2 }); // [56, 56, 64]
  const stages = [
    { filters: 64, blocks: 3, stride: 1 }, // conv2: [56, 56, 256]
    { filters: 128, blocks: 4, stride: 2 }, // conv3: [28, 28, 512]
    { filters: 256, blocks: 6, stride: 2 }, // conv4: [14, 14, 1024]
    { filters: 512, blocks: 3, stride: 2 }, // conv5: [7, 7, 2048]
  ];
  stages.forEach(({ filters, blocks, stride }, stage) => {
    for (let b = 1; b <= blocks; b++) {
      x = block(`conv${stage + 2}_block${b}`, x, filters, b === 1 ? stride : 1, b === 1);
    }
  });
  return layers;
}

/** Those of the TensorFlow original. */
const LITE0_EPSILON = 1e-3;

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
    add(name, [input], { op: "batchNorm", epsilon: LITE0_EPSILON, momentum: MOMENTUM });
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

/** Name of the layer whose output is the class probabilities. */
export const OUTPUT_LAYER = "predictions";

/** Name of the layer whose output is the image's features: the feature map's mean, [channels]. */
export const FEATURE_LAYER = "head_pool";

/** Whether a layer, or a weight (`layer/kernel`), belongs to the head. */
export function isHeadLayer(name: string): boolean {
  return name.startsWith("head_") || name.split("/")[0] === OUTPUT_LAYER;
}

/**
 * The classification head on a backbone's feature map: global average pooling, then for each entry
 * of `units` Dense with ReLU, BatchNorm (Keras' defaults: epsilon 1e-3, momentum 0.99) and Dropout,
 * then Dense with softmax.
 *
 * @param features Name of the backbone's last layer, [height, width, channels].
 * @param classes Number of classes; the output is [classes], summing to 1.
 */
export function head(
  features: string,
  classes: number,
  { units, dropout }: Config["model"]["head"],
): Graph {
  const layers: Layer[] = [{ name: FEATURE_LAYER, inputs: [features], op: "globalAveragePool" }];
  let last = FEATURE_LAYER; // [channels]
  const add = (name: string, operation: Operation) => {
    layers.push({ name, inputs: [last], ...operation });
    last = name;
  };
  units.forEach((width, i) => {
    const n = i + 1;
    add(`head_dense_${n}`, { op: "dense", units: width, activation: "relu" }); // [width]
    add(`head_bn_${n}`, { op: "batchNorm", epsilon: 1e-3, momentum: MOMENTUM });
    add(`head_dropout_${n}`, { op: "dropout", rate: dropout[i]! });
  });
  add(OUTPUT_LAYER, { op: "dense", units: classes, activation: "softmax" }); // [classes]
  return layers;
}
