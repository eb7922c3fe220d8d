import assert from "node:assert/strict";
import { join } from "node:path";
import { ModelError } from "../../lib/core/errors.ts";
import { sha256File } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { readTensors, writeTensors } from "../../lib/model/tensor_file.ts";
import { inFolder } from "../data/test_images.ts";

const odd = [0, -0, 1e-45, 3.4e38, -1.5, 1 / 3];

Deno.test("readTensors() gives back every bit that writeTensors() wrote", () =>
  inFolder(async (folder) => {
    const before = tf.memory().numTensors;
    const path = join(folder, "weights.bin");
    const tensors = new Map([
      ["a/kernel", tf.tensor(odd, [3, 2])],
      ["a/bias", tf.tensor([NaN, Infinity], [2])],
      ["scalar", tf.tensor([7], [1, 1, 1])],
    ]);
    const { entries, sha256 } = await writeTensors(path, tensors);
    assert.deepEqual(entries, [
      { name: "a/kernel", shape: [3, 2], dtype: "float32" },
      { name: "a/bias", shape: [2], dtype: "float32" },
      { name: "scalar", shape: [1, 1, 1], dtype: "float32" },
    ]);
    assert.deepEqual([sha256, (await Deno.stat(path)).size], [await sha256File(path), 4 * 9]);
    const file = new DataView((await Deno.readFile(path)).buffer);
    odd.forEach((value, i) =>
      assert.ok(Object.is(file.getFloat32(4 * i, true), Math.fround(value)))
    );

    const read = await readTensors(path, entries, sha256);
    assert.deepEqual([...read.keys()], [...tensors.keys()]);
    for (const [name, tensor] of tensors) {
      assert.deepEqual(read.get(name)!.shape, tensor.shape);
      assert.deepEqual(read.get(name)!.dataSync(), tensor.dataSync());
    }
    tf.dispose([...tensors.values(), ...read.values()]);
    assert.equal(tf.memory().numTensors, before);
  }));

Deno.test("readTensors() refuses a file that is missing, of another size or of other content", () =>
  inFolder(async (folder) => {
    const path = join(folder, "weights.bin");
    const tensor = tf.tensor(odd, [6]);
    const { entries, sha256 } = await writeTensors(path, [["a", tensor]]);
    tensor.dispose();
    const before = tf.memory().numTensors;
    const refused = (reason: RegExp, given = entries) =>
      assert.rejects(readTensors(path, given, sha256), (error: unknown) => {
        assert(error instanceof ModelError);
        assert.ok(error.message.includes(path));
        assert.match(error.message, reason);
        return true;
      });
    const good = await Deno.readFile(path);
    await Deno.truncate(path, 20);
    await refused(/has 20 bytes where 24 were written/);
    await Deno.writeFile(path, Uint8Array.of(...good, 0));
    await refused(/has 25 bytes where 24/);
    await Deno.writeFile(path, good.with(5, good[5]! ^ 1));
    await refused(/is damaged/);
    await Deno.writeFile(path, good);
    await refused(/has 24 bytes where 4000000000000 were/, [
      { name: "a", shape: [1e6, 1e6], dtype: "float32" },
    ]);
    await Deno.remove(path);
    await refused(/cannot be read/);
    assert.equal(tf.memory().numTensors, before);
  }));
