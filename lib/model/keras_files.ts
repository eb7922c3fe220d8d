import { join } from "node:path";
import { crc32, inflateRawSync } from "node:zlib";
import h5wasm from "h5wasm/node";
import { ModelError } from "../core/errors.ts";
import { readAll, sha256File, writeAll, writeAtomicWith } from "../core/files.ts";
import { type ModelCard, modelCardSchema } from "../run/model_card.ts";
import { requireWeight } from "./forward.ts";
import {
  type Graph,
  inferShapes,
  type Layer,
  type Shape,
  type WeightSpec,
  weightSpecs,
} from "./graph.ts";
import { readKerasH5, unusable } from "./keras_read.ts";
import { inputShape, type Model } from "./model.ts";

/** Name of the Keras file in a model folder. */
export const KERAS_FILE = "model.keras";

/** The form that is written; later versions of Keras 3 read it. */
const KERAS_VERSION = "3.0.0";

const MAX_METADATA_BYTES = 1_000_000;

/**
 * Writes a model as model.keras into its folder, atomically: `keras.models.load_model` of Python's
 * Keras 3 opens it without custom objects. Layers have the names that keras.applications gives them.
 *
 * The model takes preprocessed images; how to preprocess, the class names and the threshold are in
 * the archive's metadata.json as `model_card`.
 *
 * @example
 * ```py
 * card = json.loads(zipfile.ZipFile("model.keras").read("metadata.json"))["model_card"]
 * ```
 * @returns The file's path.
 * @throws {ModelError} When there is no room for a temporary copy of the weights.
 * @throws The file system's own error when the folder cannot be written to; an old file stays.
 */
export async function saveKeras(folder: string, model: Model, card: ModelCard): Promise<string> {
  const path = join(folder, KERAS_FILE);
  const inputs = inputShape(model.architecture);
  const config = keras3Config(card.architecture.backbone, model.graph, inputs);
  const metadata = {
    keras_version: KERAS_VERSION,
    date_saved: card.created.replace("T", "@").slice(0, 19),
    model_card: card,
  };
  await writeZip(path, [
    ["metadata.json", encodeJson(metadata)],
    ["config.json", encodeJson(config)],
    ["model.weights.h5", await encodeWeights(model)],
  ]);
  return path;
}

/**
 * The card of an exported model, from its metadata.json.
 *
 * @throws {ModelError} When the file is no archive that {@linkcode saveKeras} wrote.
 */
export async function readKerasCard(path: string): Promise<ModelCard> {
  try {
    const bytes = await readZipEntry(path, "metadata.json", MAX_METADATA_BYTES);
    const { model_card } = JSON.parse(new TextDecoder().decode(bytes ?? new Uint8Array()));
    return modelCardSchema.parse(model_card);
  } catch (cause) {
    throw new ModelError(
      `${path} was not written by this version of the project, or is damaged.`,
      "Run notebook 05 again; it writes this file at its end.",
      { cause },
    );
  }
}

/** The weights as a `.weights.h5` file of Keras 3: `layers/conv2d_1/vars/0`, ... */
async function encodeWeights(model: Model): Promise<Uint8Array> {
  const inputs = inputShape(model.architecture);
  const specs = weightSpecs(model.graph, inputs);
  const values = new Map<string, Float32Array>();
  for (const { name } of specs) {
    values.set(name, await requireWeight(model.weights, name).data() as Float32Array);
  }
  const temporary = await Deno.makeTempFile({ suffix: ".h5" });
  const library = await h5wasm.ready;
  library.activate_throwing_error_handler(); // else a full disk would go unnoticed
  try {
    const file = new h5wasm.File(temporary, "w");
    const layers = file.create_group("layers");
    for (const [layer, fileName] of kerasFileNames(model.graph, inputs)) {
      const variables = layers.create_group(fileName).create_group("vars");
      variables.create_attribute("name", layer);
      specs.filter((spec) => spec.layer === layer).forEach(({ name, shape }, place) =>
        variables.create_dataset({
          name: String(place),
          data: values.get(name)!,
          shape,
          dtype: "<f4",
        })
      );
    }
    file.create_group("vars"); // the model's own, beyond its layers: none
    file.close();
    return await Deno.readFile(temporary);
  } catch (cause) {
    throw new ModelError(
      `The weights of ${KERAS_FILE} could not be written to the temporary file ${temporary}.`,
      "Free some disk space there, then run notebook 05 again.",
      { cause },
    );
  } finally {
    library.deactivate_throwing_error_handler();
    await Deno.remove(temporary);
  }
}

function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

const HDF5_SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

// "\x89HDF\r\n\x1a\n"
const ZIP_SIGNATURE = [0x50, 0x4b, 0x03, 0x04];

// "PK\3\4"

/** A network of 25 million parameters with its optimiser takes 300 MB. */
const MAX_WEIGHTS_BYTES = 1 << 30;

/**
 * Reads weights from any file that Keras writes: `.h5`, `.weights.h5` or `.keras`, told apart by
 * content.
 *
 * @param graph The network that `inputs` and both lists of weights belong to.
 * @param wanted `required` and `optional` as in `readKerasH5`.
 * @returns Values by our name of the weight, row-major, and the SHA-256 of the file.
 * @throws {ModelError} See {@linkcode readKerasH5}; nothing is loaded then.
 */
export async function readKerasWeights(
  path: string,
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
  wanted: { required: readonly WeightSpec[]; optional: readonly WeightSpec[] },
): Promise<{ values: Map<string, Float32Array>; sha256: string }> {
  const start = await firstBytes(path);
  const begins = (signature: readonly number[]) => signature.every((byte, i) => byte === start[i]);
  const fileNames = kerasFileNames(graph, inputs);
  const read = (file: string) => readKerasH5(file, { ...wanted, fileNames, shownAs: path });
  if (begins(HDF5_SIGNATURE)) return { values: await read(path), sha256: await sha256File(path) };
  if (!begins(ZIP_SIGNATURE)) {
    throw unusable(path, "it is neither an HDF5 file (.h5) nor a .keras archive");
  }
  const unpacked = await Deno.makeTempFile({ suffix: ".h5" });
  try {
    await Deno.writeFile(unpacked, await weightsEntry(path));
    return { values: await read(unpacked), sha256: await sha256File(path) };
  } finally {
    await Deno.remove(unpacked);
  }
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const start = new Uint8Array(8);
  try {
    using file = await Deno.open(path);
    await file.read(start);
  } catch (cause) {
    throw unusable(path, "it cannot be read", cause);
  }
  return start;
}

async function weightsEntry(path: string): Promise<Uint8Array> {
  try {
    const bytes = await readZipEntry(path, "model.weights.h5", MAX_WEIGHTS_BYTES);
    if (bytes === null) throw unusable(path, "it has no model.weights.h5 inside");
    return bytes;
  } catch (error) {
    throw error instanceof ZipError ? unusable(path, error.message, error) : error;
  }
}

/** A layer as `kerasTopology` writes it. */
interface KerasLayer {
  name: string;
  class_name: string;
  config: Record<string, unknown>;
  inbound_nodes: unknown[];
}

/** The layers of a graph in the form of Keras 2, in Keras' order. */
function kerasLayers(graph: Graph, inputs: ReadonlyMap<string, Shape>): KerasLayer[] {
  const { config } = kerasTopology("", graph, inputs) as { config: { layers: KerasLayer[] } };
  return config.layers;
}

/**
 * The names that the HDF5 files of Keras 3 give layers: their class in snake case, numbered from the
 * second on (`conv2d`, `conv2d_1`, ...), as `keras.src.saving.saving_lib` does.
 *
 * @returns File name by layer name.
 */
function kerasFileNames(
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
): Map<string, string> {
  const used = new Map<string, number>();
  return new Map(
    kerasLayers(graph, inputs).map(({ name, class_name }) => {
      const base = snakeCase(class_name);
      const count = used.get(base) ?? 0;
      used.set(base, count + 1);
      return [name, count === 0 ? base : `${base}_${count}`];
    }),
  );
}

/** `keras.src.utils.naming.to_snake_case`. */
function snakeCase(className: string): string {
  return className
    .replace(/\W+/g, "")
    .replace(/(.)([A-Z][a-z]+)/g, "$1_$2")
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .toLowerCase();
}

/**
 * A graph as the config.json of a `.keras` archive: a functional model of built-in layers only, so
 * that `keras.models.load_model` needs neither custom objects nor trust.
 *
 * @param inputs Shape of each input layer, without the batch axis.
 */
function keras3Config(
  name: string,
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
): Record<string, unknown> {
  const shapes = inferShapes(graph, inputs);
  const tensor = (layer: string) => ({
    class_name: "__keras_tensor__",
    config: {
      shape: [null, ...shapes.get(layer) ?? []],
      dtype: "float32",
      keras_history: [layer, 0, 0],
    },
  });
  const classes = kerasLayers(graph, inputs);
  const layers = graph.map((layer, index) => {
    const { class_name, config: { batch_input_shape, ...config } } = classes[index]!;
    const tensors = layer.inputs.map(tensor);
    const merges = tensors.length > 1; // such a layer takes a list of tensors as its one argument
    return {
      module: "keras.layers",
      class_name,
      config: batch_input_shape ? { ...config, batch_shape: batch_input_shape } : config,
      registered_name: null,
      name: layer.name,
      inbound_nodes: tensors.length === 0
        ? []
        : [{ args: merges ? [tensors] : tensors, kwargs: {} }],
    };
  });
  return {
    module: "keras.src.models.functional",
    class_name: "Functional",
    config: {
      name,
      trainable: true,
      layers,
      input_layers: [...inputs.keys()].map((input) => [input, 0, 0]),
      output_layers: [[graph.at(-1)!.name, 0, 0]],
    },
    registered_name: "Functional",
    build_config: {},
    compile_config: {},
  };
}

/**
 * A graph as the JSON of a functional Keras model (Keras 2 form, which tfjs' `loadLayersModel` and
 * Python Keras' reader of HDF5 files both take).
 *
 * @param inputs Shape of each input layer, without the batch axis.
 */
export function kerasTopology(
  name: string,
  graph: Graph,
  inputs: ReadonlyMap<string, Shape>,
): Record<string, unknown> {
  const output = graph.at(-1)!.name;
  return {
    class_name: "Functional",
    config: {
      name,
      layers: graph.map((layer) => {
        const { className, config } = kerasLayer(layer, inputs.get(layer.name));
        return {
          class_name: className,
          config: { name: layer.name, trainable: true, dtype: "float32", ...config },
          name: layer.name,
          inbound_nodes: layer.inputs.length === 0
            ? []
            : [layer.inputs.map((input) => [input, 0, 0, {}])],
        };
      }),
      input_layers: [...inputs.keys()].map((input) => [input, 0, 0]),
      output_layers: [[output, 0, 0]],
    },
  };
}

function kerasLayer(
  layer: Layer,
  shape: Shape | undefined,
): { className: string; config: Record<string, unknown> } {
  const channelsLast = { data_format: "channels_last" };
  switch (layer.op) {
    case "input":
      return { className: "InputLayer", config: { batch_input_shape: [null, ...shape ?? []] } };
    case "zeroPadding": {
      const pad = [layer.pad, layer.pad];
      return { className: "ZeroPadding2D", config: { ...channelsLast, padding: [pad, pad] } };
    }
    case "conv2d":
      return {
        className: "Conv2D",
        config: {
          ...channelsLast,
          filters: layer.filters,
          kernel_size: [layer.kernelSize, layer.kernelSize],
          strides: [layer.stride, layer.stride],
          padding: layer.padding,
          dilation_rate: [1, 1],
          activation: "linear",
          use_bias: layer.bias,
        },
      };
    case "depthwiseConv2d":
      return {
        className: "DepthwiseConv2D",
        config: {
          ...channelsLast,
          kernel_size: [layer.kernelSize, layer.kernelSize],
          strides: [layer.stride, layer.stride],
          padding: layer.padding,
          depth_multiplier: 1,
          dilation_rate: [1, 1],
          activation: "linear",
          use_bias: layer.bias,
        },
      };
    case "batchNorm":
      return {
        className: "BatchNormalization",
        config: {
          axis: -1,
          momentum: layer.momentum,
          epsilon: layer.epsilon,
          center: true,
          scale: true,
        },
      };
    case "activation":
      return { className: "Activation", config: { activation: layer.activation } };
    case "maxPool":
      return {
        className: "MaxPooling2D",
        config: {
          ...channelsLast,
          pool_size: [layer.size, layer.size],
          strides: [layer.stride, layer.stride],
          padding: "valid",
        },
      };
    case "add":
      return { className: "Add", config: {} };
    case "globalAveragePool":
      return { className: "GlobalAveragePooling2D", config: channelsLast };
    case "dense":
      return {
        className: "Dense",
        config: { units: layer.units, activation: layer.activation, use_bias: true },
      };
    case "dropout":
      return { className: "Dropout", config: { rate: layer.rate } };
    case "subsample":
      throw new Error("only whole models are written, and a whole model has no subsample layer");
  }
}

const LOCAL = 0x04034b50;

const CENTRAL = 0x02014b50;

const END = 0x06054b50;

const END_BYTES = 22;

const CENTRAL_BYTES = 46;

const LOCAL_BYTES = 30;

/** An archive of Keras has three entries; a directory of this size would be none of its. */
const MAX_DIRECTORY_BYTES = 1_000_000;

/** 1 January 1980, the earliest date of the format, so that equal content gives equal files. */
const DOS_DATE = 0x21;

/** Why an archive cannot be read, in words that complete "it cannot be used: ...". */
export class ZipError extends Error {
  override name = "ZipError";
}

/**
 * Writes files into a zip archive without compressing them, atomically. Format: PKWARE's
 * APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16.
 *
 * @param entries Names and contents, together below 4 GB.
 */
export async function writeZip(
  path: string,
  entries: readonly (readonly [name: string, content: Uint8Array])[],
): Promise<void> {
  await writeAtomicWith(path, async (file) => {
    const directory: Uint8Array[] = [];
    let offset = 0;
    for (const [name, content] of entries) {
      const fields = entryFields(name, content);
      const header = concatenate([uint32(LOCAL), fields, encode(name)]);
      await writeAll(file, header);
      await writeAll(file, content);
      directory.push(concatenate([
        uint32(CENTRAL),
        uint16(20), // made by version 2.0
        fields,
        uint16(0, 0, 0), // no comment, first disk, binary
        uint32(0, offset),
        encode(name),
      ]));
      offset += header.length + content.length;
    }
    const central = concatenate(directory);
    await writeAll(file, central);
    await writeAll(
      file,
      concatenate([
        uint32(END),
        uint16(0, 0, entries.length, entries.length),
        uint32(central.length, offset),
        uint16(0),
      ]),
    );
  });
}

/** What a local header and a directory entry have in common. */
function entryFields(name: string, content: Uint8Array): Uint8Array {
  const size = content.length;
  return concatenate([
    uint16(20, 0x800, 0, 0, DOS_DATE), // needs version 2.0, UTF-8 name, stored, midnight
    uint32(crc32(content), size, size),
    uint16(encode(name).length, 0), // no extra field
  ]);
}

/**
 * Reads one file out of a zip archive, stored or deflated.
 *
 * @param maxBytes Larger content is refused before it is unpacked.
 * @returns Its content, or `null` when the archive has no such entry.
 * @throws {ZipError} When the archive is damaged or the entry too large.
 */
export async function readZipEntry(
  path: string,
  name: string,
  maxBytes: number,
): Promise<Uint8Array | null> {
  using file = await Deno.open(path);
  const { size } = await file.stat();
  const tailStart = Math.max(0, size - END_BYTES - 0xffff); // behind the end record: a comment
  const tail = await readAt(file, tailStart, size - tailStart);
  const end = lastSignature(tail, END);
  if (end < 0 || end + END_BYTES > tail.length) {
    throw new ZipError("it is cut off, or no zip archive");
  }
  const [directoryBytes, directoryStart] = [
    view(tail).getUint32(end + 12, true),
    view(tail)
      .getUint32(end + 16, true),
  ];
  if (directoryBytes > MAX_DIRECTORY_BYTES) throw new ZipError("it holds far too many files");
  const directory = await readAt(file, directoryStart, directoryBytes);
  const entry = findEntry(directory, name);
  return entry === null ? null : await readContent(file, entry, maxBytes);
}

interface Entry {
  method: number;
  crc: number;
  packed: number;
  size: number;
  offset: number;
}

function findEntry(directory: Uint8Array, name: string): Entry | null {
  const data = view(directory);
  for (let at = 0; at + CENTRAL_BYTES <= directory.length;) {
    if (data.getUint32(at, true) !== CENTRAL) throw new ZipError("its directory is damaged");
    const nameBytes = data.getUint16(at + 28, true);
    const nameStart = at + CENTRAL_BYTES;
    const found = new TextDecoder().decode(directory.subarray(nameStart, nameStart + nameBytes));
    if (found === name) {
      return {
        method: data.getUint16(at + 10, true),
        crc: data.getUint32(at + 16, true),
        packed: data.getUint32(at + 20, true),
        size: data.getUint32(at + 24, true),
        offset: data.getUint32(at + 42, true),
      };
    }
    at = nameStart + nameBytes + data.getUint16(at + 30, true) + data.getUint16(at + 32, true);
  }
  return null;
}

async function readContent(
  file: Deno.FsFile,
  { method, crc, packed, size, offset }: Entry,
  maxBytes: number,
): Promise<Uint8Array> {
  if (Math.max(packed, size) > maxBytes) throw new ZipError("a file in it is far too large");
  // The local header may have another extra field than the directory.
  const header = view(await readAt(file, offset, LOCAL_BYTES));
  if (header.getUint32(0, true) !== LOCAL) throw new ZipError("its directory is damaged");
  const start = offset + LOCAL_BYTES + header.getUint16(26, true) + header.getUint16(28, true);
  const content = unpack(await readAt(file, start, packed), method, size);
  if (content.length !== size || crc32(content) !== crc) {
    throw new ZipError("a file in it is damaged");
  }
  return content;
}

function unpack(bytes: Uint8Array, method: number, size: number): Uint8Array {
  if (method === 0) return bytes;
  if (method !== 8) throw new ZipError("a file in it is packed in an unknown way");
  try {
    return inflateRawSync(bytes, { maxOutputLength: Math.max(1, size) });
  } catch (cause) {
    throw new ZipError("a file in it is damaged", { cause });
  }
}

async function readAt(file: Deno.FsFile, start: number, length: number): Promise<Uint8Array> {
  await file.seek(start, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  if (await readAll(file, bytes) < length) throw new ZipError("it is cut off");
  return bytes;
}

function lastSignature(bytes: Uint8Array, signature: number): number {
  const data = view(bytes);
  for (let at = bytes.length - 4; at >= 0; at--) {
    if (data.getUint32(at, true) === signature) return at;
  }
  return -1;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function uint16(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  values.forEach((value, index) => view(bytes).setUint16(2 * index, value, true));
  return bytes;
}

function uint32(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  values.forEach((value, index) => view(bytes).setUint32(4 * index, value, true));
  return bytes;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
