import assert from "node:assert/strict";
import { join } from "node:path";
import { ModelError, WeightsMissingError } from "../../lib/core/errors.ts";
import { runTool, ToolError, venvPython } from "../../lib/core/python.ts";
import { EFFICIENTNET_LITE0_FILE, torchTensors } from "../../lib/model/torch_tensors.ts";
import { inFolder } from "../data/test_images.ts";

Deno.test("torchTensors() names the package when it is not installed", async () => {
  await inFolder((folder) =>
    assert.rejects(
      torchTensors(EFFICIENTNET_LITE0_FILE, { venv: join(folder, "no-venv") }),
      (error) =>
        error instanceof WeightsMissingError && /efficientnet-lite0-py/.test(error.message),
    )
  );
});

Deno.test("torchTensors() refuses a package's file that is not the published one", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "lib", "python3.11", "site-packages", EFFICIENTNET_LITE0_FILE.path);
    await Deno.mkdir(join(path, ".."), { recursive: true });
    await Deno.writeTextFile(path, "something else");
    await assert.rejects(
      torchTensors(EFFICIENTNET_LITE0_FILE, { venv: folder }),
      (error) => error instanceof ModelError && /not the published file/.test(error.message),
    );
  });
});

const READER = new URL("../../lib/model/read_torch_weights.py", import.meta.url).pathname;

/** Writes `FILE` with Python's pickle; `tensors` is the expression of its third pickle. */
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
def tensor(key, shape, strides, length):
    storage = Storage(("storage", Global("torch", "FloatStorage"), key, "cpu", length, None))
    return Global("torch._utils", "_rebuild_tensor_v2", storage, 0, shape, strides, False, {})
path, expression, stored = sys.argv[1:4]
with open(path, "wb") as f:
    for o in [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, eval(expression), ["a"]]:
        Pickler(f, 2).dump(o)
    f.write(struct.pack("<q", 6) + struct.pack("<6f", *range(6))[: int(stored)])
`;

Deno.test("read_torch_weights.py reads a plain file, and refuses one that names or says anything else", async () => {
  await inFolder(async (folder) => {
    const [file, out, mark] = ["a.pth", "a.bin", "mark"].map((name) => join(folder, name));
    const read = async (tensors: string, stored = 24) => {
      await runTool(venvPython, ["-c", WRITE_TORCH, file!, tensors, String(stored)]);
      return JSON.parse(await runTool(venvPython, ["-I", READER, file!, out!]));
    };
    const refuses = (message: RegExp, tensors: string, stored?: number) =>
      assert.rejects(
        read(tensors, stored),
        (error) => error instanceof ToolError && message.test(error.message),
      );
    assert.deepEqual(await read('{"w": tensor("a", (2, 3), (3, 1), 6)}'), [
      { name: "w", shape: [2, 3] },
    ]);
    const written = async () => [...new Float32Array((await Deno.readFile(out!)).buffer)];
    assert.deepEqual(await written(), [0, 1, 2, 3, 4, 5]);
    await read('{"w": tensor("a", (2, 3), (1, 2), 6)}'); // column-major
    assert.deepEqual(await written(), [0, 2, 4, 1, 3, 5]);

    await read('{"w": tensor("a", (3, 2, 1, 1), (2, 1, 1, 1), 6)}'); // [out, in, h, w]
    assert.deepEqual(await written(), [0, 2, 4, 1, 3, 5]);
    await read('{"depthwise": tensor("a", (3, 1, 1, 2), (2, 2, 2, 1), 6)}'); // [channels, 1, h, w]
    assert.deepEqual(await written(), [0, 2, 4, 1, 3, 5]);

    await refuses(/names posix\.system/, `{"w": Global("posix", "system", "touch ${mark}")}`);
    await refuses(/names builtins\.eval/, '{"w": Global("builtins", "eval", "1")}');
    await refuses(/names torch\.load/, '{"w": Global("torch", "load", "x")}');
    await assert.rejects(Deno.stat(mark!), Deno.errors.NotFound);
    await refuses(/beyond its storage/, '{"w": tensor("a", (2, 3), (4, 1), 6)}');
    await refuses(/beyond its storage/, '{"w": tensor("a", (2, 3), (-3, 1), 6)}');
    await refuses(/beyond its storage/, '{"w": tensor("a", (9, 9), (0, 0), 6)}');
    await refuses(/makes no sense/, '{"w": tensor("a", (2, 3), (1,), 6)}');
    await refuses(/does not have the 7 values/, '{"w": tensor("a", (7,), (1,), 7)}');
    await refuses(/cut off/, '{"w": tensor("a", (2, 3), (3, 1), 6)}', 20);
    await Deno.writeTextFile(file!, "not a pickle");
    await assert.rejects(runTool(venvPython, ["-I", READER, file!, out!]), ToolError);
  });
});
