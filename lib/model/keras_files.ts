import { join } from "node:path";
import { ModelError, reasonOf } from "../core/errors.ts";
import { sha256File, writeAll, writeAtomicWith } from "../core/files.ts";
import { runTool, venvPython } from "../core/python.ts";
import { type ModelCard, modelCardSchema } from "../run/model_card.ts";
import { OUTPUT_LAYER } from "./architectures.ts";
import {
  consumers,
  inferShapes,
  type Layer,
  type Shape,
  sizeOf,
  type WeightSpec,
} from "./graph.ts";
import { inputShape, type Model, orderedWeights, writeTensors } from "./model.ts";

/** Name of the Keras file in a model folder. */
export const KERAS_FILE = "model.keras";

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
 * @throws {ModelError} When it cannot be made; an old file stays.
 */
export async function saveKeras(folder: string, model: Model, card: ModelCard): Promise<string> {
  const path = join(folder, KERAS_FILE);
  await inScratch(async (scratch) => {
    const [values, out] = [join(scratch, "values.bin"), join(scratch, KERAS_FILE)];
    const { entries: weights } = await writeTensors(values, orderedWeights(model));
    const metadata = {
      keras_version: "3.0.0", // later versions of Keras 3 read its form
      date_saved: card.created.replace("T", "@").slice(0, 19),
      model_card: card,
    };
    const request = { topology: kerasTopology(model), metadata, weights, values, out };
    await callPython("write", scratch, request);
    using made = await Deno.open(out);
    await writeAtomicWith(path, async (file) => {
      for await (const bytes of made.readable) await writeAll(file, bytes);
    });
  }).catch((cause) => {
    throw new ModelError(
      `${path} could not be written: ${reasonOf(cause)}`,
      "The trained model itself is saved. Free disk space, or repair .venv with `deno task setup`; " +
        "then run notebook 05 again.",
      { file: path, cause },
    );
  });
  return path;
}

/**
 * The card of an exported model, from its metadata.json.
 *
 * @throws {ModelError} When the file is no archive that {@linkcode saveKeras} wrote.
 */
export async function readKerasCard(path: string): Promise<ModelCard> {
  try {
    const card = await runTool(venvPython, ["-I", SCRIPT, "card", path]);
    return modelCardSchema.parse(JSON.parse(card));
  } catch (cause) {
    throw new ModelError(
      `${path} was not written by this version of the project, or is damaged.`,
      "Run notebook 05 again; it writes this file at its end.",
      { file: path, cause },
    );
  }
}

/** Values by our name of the weight (`layer/kernel`), row-major, and the SHA-256 of their file. */
export interface FoundWeights {
  values: Map<string, Float32Array>;
  sha256: string;
}

/**
 * Reads weights from any file that Keras writes: `.h5` of Keras 2 and 3 (the official files too),
 * `.weights.h5` and `.keras`, told apart by content; whole models as well as bare backbones.
 *
 * Layers that are not wanted (a top, say) are left alone, but a convolution among them means that
 * the file belongs to a larger network of the same family, and is refused.
 *
 * @param wanted `required`: without these the file is refused. `optional`: read as well when the
 *   file has all of their layers by name. `topology`: of the whole network
 *   ({@linkcode kerasTopology}), for files that do not tell the names of layers.
 * @throws {ModelError} When the file is damaged, no Keras file, or lacks a weight or has it in another
 * shape; the first mismatch is named.
 */
export async function readKerasWeights(
  path: string,
  wanted: {
    required: readonly WeightSpec[];
    optional?: readonly WeightSpec[];
    topology?: Record<string, unknown>;
  },
): Promise<FoundWeights> {
  const { required, optional = [], topology = null } = wanted;
  const result = await inScratch(async (folder) => {
    const values = join(folder, "values.bin");
    const request = { path, required, optional, topology, values };
    const found = await callPython("read", folder, request) as string[] | { refused: string };
    if (!Array.isArray(found)) return found.refused;
    const specs = [...required, ...optional].filter(({ name }) => found.includes(name));
    return await readValues(values, specs);
  }).catch((cause) => {
    throw new ModelError(
      `${path} could not be read: ${reasonOf(cause)}`,
      "Run `deno task setup`, which repairs the .venv, then try again.",
      { file: path, cause },
    );
  });
  if (typeof result !== "string") return { values: result, sha256: await sha256File(path) };
  throw new ModelError(
    `${path} cannot be used: ${result}. Nothing was loaded from it.`,
    "Get the file again from its source, and check that it belongs to this backbone " +
      "(model.backbone).",
    { file: path },
  );
}

/** Reads a file of 32-bit floats that holds one weight after another; returns them by name. */
export async function readValues(
  path: string,
  specs: readonly Pick<WeightSpec, "name" | "shape">[],
): Promise<Map<string, Float32Array>> {
  const numbers = new Float32Array((await Deno.readFile(path)).buffer);
  let end = 0;
  return new Map(
    specs.map(({ name, shape }) => [name, numbers.subarray(end, end += sizeOf(shape))]),
  );
}

const SCRIPT = join(import.meta.dirname!, "keras_files.py");

/** Runs a command of keras_files.py on a request; returns what it prints. */
async function callPython(command: string, folder: string, request: unknown): Promise<unknown> {
  const path = join(folder, "request.json");
  await Deno.writeTextFile(path, JSON.stringify(request));
  return JSON.parse(await runTool(venvPython, ["-I", SCRIPT, command, path]));
}

/** Runs `use` with a temporary folder, which is removed after it. */
export async function inScratch<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir();
  try {
    return await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/**
 * A model's layers as the JSON of a functional Keras model (Keras 2 form, which tfjs'
 * `loadLayersModel` and Python Keras' reader of HDF5 files both take). A layer that leads to no
 * output, such as the features of an ensemble, is none of Keras' model.
 */
export function kerasTopology({ graph: all, architecture }: Model): Record<string, unknown> {
  const inputs = inputShape(architecture);
  const readers = consumers(all);
  const graph = all.filter(({ name }) => name === OUTPUT_LAYER || readers.get(name)!.length > 0);
  const shapes = inferShapes(graph, inputs);
  return {
    class_name: "Functional",
    config: {
      name: architecture.backbone,
      layers: graph.map((layer) => {
        const [class_name, config] = kerasLayer(layer, shapes.get(layer.inputs[0] ?? layer.name)!);
        const nodes = layer.inputs.map((input) => [input, 0, 0, {}]);
        return {
          class_name,
          config: { name: layer.name, trainable: true, dtype: "float32", ...config },
          name: layer.name,
          inbound_nodes: nodes.length === 0 ? [] : [nodes],
        };
      }),
      input_layers: [...inputs.keys()].map((input) => [input, 0, 0]),
      output_layers: [[graph.at(-1)!.name, 0, 0]],
    },
  };
}

/** @param shape Of what the layer reads; of an input itself. */
function kerasLayer(layer: Layer, shape: Shape): [string, Record<string, unknown>] {
  const channelsLast = { data_format: "channels_last" };
  const convolution = (conv: Layer & { op: "conv2d" | "depthwiseConv2d" }) => ({
    ...channelsLast,
    kernel_size: [conv.kernelSize, conv.kernelSize],
    strides: [conv.stride, conv.stride],
    padding: conv.padding,
    dilation_rate: [1, 1],
    activation: "linear",
    use_bias: conv.bias,
  });
  switch (layer.op) {
    case "input":
      return ["InputLayer", { batch_input_shape: [null, ...shape] }];
    case "zeroPadding": {
      const pad = [layer.pad, layer.pad];
      return ["ZeroPadding2D", { ...channelsLast, padding: [pad, pad] }];
    }
    case "conv2d":
      return ["Conv2D", { ...convolution(layer), filters: layer.filters }];
    case "depthwiseConv2d":
      return ["DepthwiseConv2D", { ...convolution(layer), depth_multiplier: 1 }];
    case "batchNorm": {
      const { momentum, epsilon } = layer;
      return ["BatchNormalization", { axis: -1, momentum, epsilon, center: true, scale: true }];
    }
    case "activation":
      return ["Activation", { activation: layer.activation }];
    case "maxPool": {
      const [pool_size, strides] = [[layer.size, layer.size], [layer.stride, layer.stride]];
      return ["MaxPooling2D", { ...channelsLast, pool_size, strides, padding: "valid" }];
    }
    case "add":
      return ["Add", {}];
    case "average":
      return ["Average", {}];
    case "multiply":
      return ["Multiply", {}];
    case "concatenate":
      return ["Concatenate", { axis: layer.axis }];
    case "reduce": {
      // [height, width, channels] read as channels first is a picture of width × channels
      const [data_format, pool_size] = layer.over === "places"
        ? ["channels_last", shape.slice(0, 2)]
        : ["channels_first", [1, shape[2]]];
      const config = { data_format, pool_size, strides: pool_size, padding: "valid" };
      return [layer.by === "mean" ? "AveragePooling2D" : "MaxPooling2D", config];
    }
    case "globalAveragePool":
      return ["GlobalAveragePooling2D", channelsLast];
    case "dense":
      return ["Dense", { units: layer.units, activation: layer.activation, use_bias: true }];
    case "dropout":
      return ["Dropout", { rate: layer.rate }];
    case "subsample":
      throw new Error("only whole models are written, and a whole model has no subsample layer");
  }
}
