import { createHash } from "node:crypto";
import { join } from "node:path";
import { ModelError, WeightsMissingError } from "../errors.ts";
import { exists } from "../files.ts";
import { projectRoot } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { download, DownloadError } from "./download.ts";
import type { WeightSpec } from "./graph.ts";
import { readKerasH5 } from "./keras_h5.ts";

/** Folder of the official weights that a person or a download put there. */
export const pretrainedFolder: string = join(projectRoot, "model", "pretrained");

/** Where Keras keeps the official weights of its ResNets (`keras.applications.resnet`). */
const KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/";

/** One official file of Keras' applications. */
export interface KerasFile {
  name: string;
  /** Of its content, in hexadecimal, as Keras publishes it. */
  md5: string;
}

/**
 * Reads an official weights file from model/pretrained/, where it is fetched to when it is needed
 * for the first time.
 *
 * @param options.folder Instead of model/pretrained/.
 * @param options.baseUrl Instead of Keras' own place; with a slash at its end.
 * @param options.connectSeconds See `download`.
 * @throws {WeightsMissingError} When it is not there and cannot be fetched.
 * @throws {ModelError} When it is there and its content is not the published one.
 */
export async function loadKerasFile(
  file: KerasFile,
  specs: readonly WeightSpec[],
  options: {
    folder?: string;
    baseUrl?: string;
    connectSeconds?: number;
    onProgress?: OnProgress | undefined;
  } = {},
): Promise<{ values: Map<string, Float32Array>; sha256: string }> {
  const { folder = pretrainedFolder, baseUrl = KERAS_URL, connectSeconds, onProgress } = options;
  const path = join(folder, file.name);
  if (!await exists(path)) {
    try {
      await download({
        url: baseUrl + file.name,
        path,
        md5: file.md5,
        ...(connectSeconds === undefined ? {} : { connectSeconds }),
        ...(onProgress ? { onProgress } : {}),
      });
    } catch (error) {
      if (!(error instanceof DownloadError)) throw error;
      throw missing(file, folder, baseUrl, error);
    }
  }
  const bytes = await Deno.readFile(path);
  if (createHash("md5").update(bytes).digest("hex") !== file.md5) {
    throw new ModelError(
      `${path} is not the official file: its MD5 is not ${file.md5}.`,
      "Delete it, and it is fetched again; or put the right file there.",
    );
  }
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { values: await readKerasH5(path, { required: specs }), sha256 };
}

function missing(
  { name, md5 }: KerasFile,
  folder: string,
  baseUrl: string,
  cause: DownloadError,
): WeightsMissingError {
  return new WeightsMissingError(
    `The ImageNet weights ${name} are not in ${folder}, and could not be fetched from ` +
      `${baseUrl + name}, because ${cause.message}.`,
    [
      "Check the network (behind a proxy, HTTPS_PROXY must name it) and run again; what has been " +
      "fetched is kept. Or choose one of these:",
      `- fetch that address on another computer, and put ${name} (MD5 ${md5}) into ${folder};`,
      `- model.backbone: "efficientnet_lite0", whose ImageNet weights are installed with the project;`,
      `- model.weights: the path of a Keras file or of a model folder with weights of this backbone;`,
      `- model.weights: "random", which needs far more images for a far worse model.`,
    ].join("\n  "),
    { cause },
  );
}
