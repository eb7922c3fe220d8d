import type { Graph, Layer, Operation, Padding } from "./graph.ts";

/** Keras builds ResNet50 with this BatchNorm epsilon, not with its default of 1e-3. */
const EPSILON = 1.001e-5;
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
    add(name, [input], { op: "batchNorm", epsilon: EPSILON, momentum: MOMENTUM });
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
