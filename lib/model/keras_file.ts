import { createHash } from "node:crypto";
import { join } from "node:path";
import { ModelError, WeightsMissingError } from "../errors.ts";
import { exists } from "../files.ts";
import { projectRoot } from "../paths.ts";
import type { WeightSpec } from "./graph.ts";
import { readKerasH5 } from "./keras_h5.ts";

/** Folder of the official weights that a person or a download put there. */
export const pretrainedFolder: string = join(projectRoot, "model", "pretrained");

/** One official file of Keras' applications. */
export interface KerasFile {
  name: string;
  /** Of its content, in hexadecimal, as Keras publishes it. */
  md5: string;
}

/**
 * Reads an official weights file from model/pretrained/.
 *
 * @throws {WeightsMissingError} When it is not there.
 * @throws {ModelError} When its content is not the published one.
 */
export async function loadKerasFile(
  { name, md5 }: KerasFile,
  specs: readonly WeightSpec[],
): Promise<{ values: Map<string, Float32Array>; sha256: string }> {
  const path = join(pretrainedFolder, name);
  if (!await exists(path)) {
    throw new WeightsMissingError(
      `The ImageNet weights are not there: ${path}`,
      `Put ${name} (MD5 ${md5}) into ${pretrainedFolder} and run again. To start from random ` +
        `weights instead, which needs far more images for a far worse model, set model.weights ` +
        `to "random".`,
    );
  }
  const bytes = await Deno.readFile(path);
  if (createHash("md5").update(bytes).digest("hex") !== md5) {
    throw new ModelError(
      `${path} is not the official file: its MD5 is not ${md5}.`,
      "Delete it and get it again.",
    );
  }
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { values: await readKerasH5(path, specs), sha256 };
}
