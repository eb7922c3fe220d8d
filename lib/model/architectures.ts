import type { Config } from "../core/settings.ts";
import {
  type Activation,
  consumers,
  frozenPart,
  type Graph,
  type Layer,
  type Operation,
  type Padding,
} from "./graph.ts";

/** Name of the layer whose output is the image's features: the feature map's mean, [channels]. */
export const FEATURE_LAYER = "head_pool";

/** Name of the layer whose output is the class probabilities. */
export const OUTPUT_LAYER = "predictions";

/** Whether a layer, or a weight (`layer/kernel`), belongs to the head. */
export function isHeadLayer(name: string): boolean {
  return name.startsWith("head_") || name.split("/")[0] === OUTPUT_LAYER;
}

/** Several networks that share their frozen layers: see {@linkcode ensembleGraph}. */
export interface Ensemble {
  members: number;
  /** Layers from the start that they share. */
  frozenLayers: number;
}

/** The name that member `i`, from 0, gives a layer or weight of its own. */
export const memberName = (i: number, name: string): string => `m${i + 1}_${name}`;

/** The member, from 0, whose own a layer or weight is, and its name there; `null`: it is shared. */
export function ofMember(name: string): { member: number; own: string } | null {
  const [, number, own] = /^m(\d+)_(.+)$/s.exec(name) ?? [];
  return own === undefined ? null : { member: Number(number) - 1, own };
}

/**
 * One network of several that were trained behind the same frozen layers: these once, then the
 * layers of each member, then the softmax of the mean of the members' logits. Of two classes that is
 * the mean of their log odds.
 *
 * {@linkcode FEATURE_LAYER} is the mean over places of what the last frozen layer hands over, which
 * no member has changed: features of a training image are like those of any other image.
 *
 * @param graph Of one network, its last layer dense with softmax.
 */
export function ensembleGraph(graph: Graph, { members, frozenLayers }: Ensemble): Graph {
  const shared = new Set(frozenPart(graph, frozenLayers).map(({ name }) => name));
  const own = graph.filter(({ name }) => !shared.has(name));
  const boundary =
    graph.findLast(({ name }) =>
      shared.has(name) && own.some(({ inputs }) => inputs.includes(name))
    )!.name;
  const { layers, add } = createLayers();
  layers.push(...graph.filter(({ name }) => shared.has(name)));
  if (!shared.has(FEATURE_LAYER)) add(FEATURE_LAYER, boundary, { op: "globalAveragePool" });
  const numbers = Array.from({ length: members }, (_, i) => i);
  const depths = depthsOf(own);
  // Keras numbers layers by their depth, and at one depth those of a member before the next one's
  for (const level of Map.groupBy(own, ({ name }) => depths.get(name)!).values()) {
    for (const i of numbers) {
      for (const layer of level) {
        const last = layer.name === OUTPUT_LAYER && { activation: "linear" as const };
        const inputs = layer.inputs.map((name) => shared.has(name) ? name : memberName(i, name));
        layers.push({ ...layer, ...last, name: memberName(i, layer.name), inputs } as Layer);
      }
    }
  }
  const logits = numbers.map((i) => memberName(i, OUTPUT_LAYER)); // [classes] each
  const mean = add("mean_logits", logits, { op: "average" });
  add(OUTPUT_LAYER, mean, { op: "activation", activation: "softmax" });
  return layers;
}

/**
 * Layers that grow by one with each call of a function, which returns the new one's name.
 *
 * @param epsilon Of BatchNorms: by default that of Keras and of TensorFlow's EfficientNet-Lite.
 */
function createLayers(activation: Activation = "relu", epsilon = 1e-3) {
  const layers: Layer[] = [];
  const add = (name: string, input: string | string[], operation: Operation): string => {
    layers.push({ name, inputs: [input].flat(), ...operation });
    return name;
  };
  return {
    layers,
    add,
    batchNorm: (name: string, input: string) =>
      add(name, input, { op: "batchNorm", epsilon, momentum: 0.99 }), // Keras' default
    activate: (name: string, input: string) => add(name, input, { op: "activation", activation }),
  };
}

/**
 * ResNet50 without its top (He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition",
 * CVPR 2016), layer by layer as `keras.applications.ResNet50(include_top=False)` has it: 175 layers
 * with the same names in the same order, so that a freeze depth counted in layers means the same.
 * Stride 2 sits in the first 1×1 convolution of a stage, as in Keras and the paper.
 *
 * Input [size, size, 3], output [size/32, size/32, 2048].
 */
export function resnet50(): Graph {
  // Keras builds ResNet50 with this epsilon, not with its default
  const { layers, add, batchNorm, activate: relu } = createLayers("relu", 1.001e-5);
  const conv = (
    name: string,
    input: string,
    filters: number,
    kernelSize: number,
    stride = 1,
    padding: Padding = "valid",
  ) => add(name, input, { op: "conv2d", filters, kernelSize, stride, padding, bias: true });

  let x = add("input_layer", [], { op: "input" }); // [224, 224, 3]
  x = add("conv1_pad", x, { op: "zeroPadding", pad: 3 });
  x = relu("conv1_relu", batchNorm("conv1_bn", conv("conv1_conv", x, 64, 7, 2))); // [112, 112, 64]
  x = add("pool1_pad", x, { op: "zeroPadding", pad: 1 });
  x = add("pool1_pool", x, { op: "maxPool", size: 3, stride: 2 }); // [56, 56, 64]
  const stages = [
    { filters: 64, blocks: 3, stride: 1 }, // conv2: [56, 56, 256]
    { filters: 128, blocks: 4, stride: 2 }, // conv3: [28, 28, 512]
    { filters: 256, blocks: 6, stride: 2 }, // conv4: [14, 14, 1024]
    { filters: 512, blocks: 3, stride: 2 }, // conv5: [7, 7, 2048]
  ];
  stages.forEach(({ filters, blocks, stride }, stage) => {
    for (let b = 1; b <= blocks; b++) { // 1×1 reduce, 3×3, 1×1 expand, added to the shortcut
      const name = `conv${stage + 2}_block${b}`;
      let shortcut = x;
      x = conv(`${name}_1_conv`, x, filters, 1, b === 1 ? stride : 1);
      x = relu(`${name}_1_relu`, batchNorm(`${name}_1_bn`, x));
      x = conv(`${name}_2_conv`, x, filters, 3, 1, "same");
      x = relu(`${name}_2_relu`, batchNorm(`${name}_2_bn`, x));
      if (b === 1) shortcut = conv(`${name}_0_conv`, shortcut, 4 * filters, 1, stride);
      x = conv(`${name}_3_conv`, x, 4 * filters, 1);
      if (b === 1) shortcut = batchNorm(`${name}_0_bn`, shortcut);
      x = batchNorm(`${name}_3_bn`, x);
      x = relu(`${name}_out`, add(`${name}_add`, [shortcut, x], { op: "add" }));
    }
  });
  return layers;
}

/** Of EfficientNet-Lite0: the first of a stage's blocks has the stride, all others a skip connection. */
const LITE0_STAGES = [
  { blocks: 1, kernelSize: 3, stride: 1, expansion: 1, channels: 16 }, // block1: [112, 112, 16]
  { blocks: 2, kernelSize: 3, stride: 2, expansion: 6, channels: 24 }, // block2: [56, 56, 24]
  { blocks: 2, kernelSize: 5, stride: 2, expansion: 6, channels: 40 }, // block3: [28, 28, 40]
  { blocks: 3, kernelSize: 3, stride: 2, expansion: 6, channels: 80 }, // block4: [14, 14, 80]
  { blocks: 3, kernelSize: 5, stride: 1, expansion: 6, channels: 112 }, // block5: [14, 14, 112]
  { blocks: 4, kernelSize: 5, stride: 2, expansion: 6, channels: 192 }, // block6: [7, 7, 192]
  { blocks: 1, kernelSize: 3, stride: 1, expansion: 6, channels: 320 }, // block7: [7, 7, 320]
];

/** The 16 blocks of EfficientNet-Lite0 in order, `block1a` to `block7a`. */
export const lite0Blocks = LITE0_STAGES.flatMap(({ blocks, stride, ...stage }, s) =>
  Array.from({ length: blocks }, (_, b) => ({
    ...stage,
    name: `block${s + 1}${"abcd"[b]}`,
    stride: b === 0 ? stride : 1,
    skips: b > 0,
  }))
);

/**
 * EfficientNet-Lite0 without its top (TensorFlow's `efficientnet/lite`): EfficientNet-B0 (Tan and Le,
 * ICML 2019) without squeeze-and-excitation, with ReLU6 in place of swish. 141 layers with the names
 * that `keras.applications.EfficientNetB0` gives the same ones. Stochastic depth is left out: it is
 * the identity except when training from nothing.
 *
 * Input [size, size, 3], output [size/32, size/32, 1280].
 */
export function efficientnetLite0(): Graph {
  const { layers, add, batchNorm, activate: relu6 } = createLayers("relu6");
  const same = { padding: "same", bias: false } as const;
  const conv = (name: string, input: string, filters: number, kernelSize: number, stride = 1) =>
    add(name, input, { op: "conv2d", filters, kernelSize, stride, ...same });

  let x = add("input_layer", [], { op: "input" }); // [224, 224, 3]
  x = relu6("stem_activation", batchNorm("stem_bn", conv("stem_conv", x, 32, 3, 2))); // [112, 112, 32]
  let width = 32;
  // 1×1 expand, depthwise, 1×1 project without activation (an inverted residual, MobileNetV2)
  for (const { name, kernelSize, stride, expansion, channels, skips } of lite0Blocks) {
    const input = x;
    if (expansion !== 1) {
      x = batchNorm(`${name}_expand_bn`, conv(`${name}_expand_conv`, x, width * expansion, 1));
      x = relu6(`${name}_expand_activation`, x);
    }
    x = add(`${name}_dwconv`, x, { op: "depthwiseConv2d", kernelSize, stride, ...same });
    x = relu6(`${name}_activation`, batchNorm(`${name}_bn`, x));
    x = batchNorm(`${name}_project_bn`, conv(`${name}_project_conv`, x, channels, 1));
    if (skips) x = add(`${name}_add`, [x, input], { op: "add" });
    width = channels;
  }
  relu6("top_activation", batchNorm("top_bn", conv("top_conv", x, 1280, 1)));
  return layers;
}

/** How far each layer is from the last one: the longest way through those that read it. */
function depthsOf(graph: Graph): Map<string, number> {
  const readers = consumers(graph);
  const depths = new Map<string, number>();
  for (const { name } of graph.toReversed()) {
    depths.set(
      name,
      Math.max(-1, ...readers.get(name)!.map((reader) => depths.get(reader.name)!)) + 1,
    );
  }
  return depths;
}

/**
 * The classification head on a backbone's feature map: attention if any, global average pooling, then
 * for each entry of `units` Dense with ReLU, BatchNorm with Keras' defaults and Dropout, then Dense
 * with softmax.
 *
 * @param features The backbone's last layer, [height, width, channels].
 * @param classes Number of classes; the output is [classes], summing to 1.
 */
export function head(
  features: { name: string; channels: number },
  classes: number,
  { units, dropout, attention }: Config["model"]["head"] & Pick<Config["model"], "attention">,
): Graph {
  const { layers, add, batchNorm } = createLayers();
  const map = attention === "none" ? features.name : attend(add, features, attention);
  let x = add(FEATURE_LAYER, map, { op: "globalAveragePool" }); // [channels]
  units.forEach((width, i) => {
    const n = i + 1;
    x = add(`head_dense_${n}`, x, { op: "dense", units: width, activation: "relu" }); // [width]
    x = batchNorm(`head_bn_${n}`, x);
    x = add(`head_dropout_${n}`, x, { op: "dropout", rate: dropout[i]! });
  });
  add(OUTPUT_LAYER, x, { op: "dense", units: classes, activation: "softmax" }); // [classes]
  return layers;
}

/**
 * Weighs the channels of a map, and for "cbam" then its places; all weights lie between 0 and 1.
 *
 * "se": squeeze-and-excitation (Hu, Shen and Sun, "Squeeze-and-Excitation Networks", CVPR 2018).
 * "cbam": Convolutional Block Attention Module (Woo, Park, Lee and Kweon, ECCV 2018). Both with the
 * papers' reduction to a sixteenth of the channels, the latter with its 7×7 convolution. Neither
 * paper has it start at the identity: its weights are drawn as all others are.
 *
 * @returns Name of the last layer, whose output has the map's shape.
 */
function attend(
  add: ReturnType<typeof createLayers>["add"],
  { name: map, channels }: { name: string; channels: number },
  attention: "se" | "cbam",
): string {
  const layer = (name: string, input: string | string[], operation: Operation) =>
    add(`head_attention_${name}`, input, operation);
  const pools = (name: string, input: string, over: "places" | "channels", axis: number) => {
    const both = (["mean", "max"] as const)
      .map((by) => layer(`${name}_${by}`, input, { op: "reduce", by, over }));
    return layer(`${name}_pools`, both, { op: "concatenate", axis });
  };
  const conv = (name: string, input: string, filters: number, kernelSize: number) =>
    layer(name, input, {
      op: "conv2d",
      filters,
      kernelSize,
      stride: 1,
      padding: "same",
      bias: true,
    });
  const width = channels / 16; // of the papers' reduction
  let hidden: string; // [width]
  if (attention === "se") {
    hidden = layer("mean", map, { op: "globalAveragePool" }); // [channels]
    hidden = layer("reduce", hidden, { op: "dense", units: width, activation: "relu" });
  } else {
    // One perceptron of both pools: its first layer as a 1×1 convolution of the two, [2, 1, width];
    // its second, being linear, may come after the sum, which is the mean twice.
    hidden = conv("reduce", pools("channel", map, "places", 1), width, 1);
    hidden = layer("relu", hidden, { op: "activation", activation: "relu" });
    hidden = layer("half", hidden, { op: "globalAveragePool" });
    hidden = layer("sum", [hidden, hidden], { op: "add" });
  }
  let weights = layer("expand", hidden, { op: "dense", units: channels, activation: "sigmoid" });
  const weighed = layer("channels", [map, weights], { op: "multiply" });
  if (attention === "se") return weighed;
  weights = conv("conv", pools("place", weighed, "channels", 3), 1, 7); // [height, width, 1]
  weights = layer("sigmoid", weights, { op: "activation", activation: "sigmoid" });
  return layer("places", [weighed, weights], { op: "multiply" });
}
