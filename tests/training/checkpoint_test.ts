import assert from "node:assert/strict";
import { join } from "node:path";
import { type TensorFlow, tf } from "../../lib/core/tensorflow.ts";
import { startState, type TrainingState } from "../../lib/training/callbacks.ts";
import {
  readCheckpoint,
  removeCheckpoints,
  writeCheckpoint,
} from "../../lib/training/checkpoint.ts";
import { inFolder, put } from "../data/test_images.ts";

/** The state after an epoch whose best so far was `bestEpoch`. */
function stateOf(epoch: number, bestEpoch: number, steps = 0): TrainingState {
  const scores = { loss: 1.5, right: 2, labels: [0, 1], positive: [0.25, 0.5] };
  const start = startState(1e-3);
  return {
    ...start,
    epoch,
    partial: steps > 0 ? { steps, seconds: 1, scores } : null,
    plateau: { ...start.plateau, best: 1, wait: 1 },
    stopping: { best: 0.5, bestEpoch, wait: epoch - bestEpoch },
    best: { value: 0.5, epoch: bestEpoch },
    events: [{ epoch: 1, kind: "checkpoint", note: "best" }],
    adamStep: 10 * epoch,
  };
}

/** Weights that tell the epoch. */
const weightsOf = (epoch: number) => new Map([["a/kernel", tf.fill([2, 3], epoch)]]);

/** Writes the checkpoint of an epoch; the tensors are freed. */
async function write(folder: string, epoch: number, bestEpoch: number, steps = 0): Promise<void> {
  const [weights, best] = [weightsOf(epoch), weightsOf(bestEpoch)];
  await writeCheckpoint(folder, "fingerprint", stateOf(epoch, bestEpoch, steps), weights, best);
  tf.dispose([...weights.values(), ...best.values()]);
}

/** Epoch, and what the tensors tell, of the checkpoint that is found. */
async function read(folder: string, fingerprint = "fingerprint") {
  const before = tf.memory().numTensors;
  const found = await readCheckpoint(folder, fingerprint);
  const tell = (tensors: ReadonlyMap<string, TensorFlow.Tensor> | null | undefined) =>
    tensors?.get("a/kernel")?.dataSync()[5];
  const told = found && [found.state.epoch, tell(found.tensors), tell(found.bestTensors)];
  tf.dispose([...found?.tensors.values() ?? [], ...found?.bestTensors?.values() ?? []]);
  assert.equal(tf.memory().numTensors, before, "a damaged checkpoint leaves no tensor");
  return told;
}

/** A test with an empty folder of its own. */
const test = (name: string, body: (folder: string) => Promise<void>) =>
  Deno.test(name, () => inFolder(body));

/** Asserts that a folder has these files, by name, and no others. */
async function holdsJust(folder: string, names: string): Promise<void> {
  const found = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  assert.equal(found.sort().join(" "), names.replace(/\s+/g, " "));
}

test("readCheckpoint() gives back the state and the tensors of the latest epoch", async (folder) => {
  assert.equal(await read(join(folder, "missing")), null);
  await write(folder, 1, 1);
  await write(folder, 2, 1);
  assert.deepEqual(await read(folder), [2, 2, 1]);
  const found = await readCheckpoint(folder, "fingerprint");
  assert.deepEqual(found?.state, stateOf(2, 1));
  assert.deepEqual(found?.tensors.get("a/kernel")?.shape, [2, 3]);
  tf.dispose([...found!.tensors.values(), ...found!.bestTensors!.values()]);
  assert.equal(await read(folder, "another"), null);
});

test("writeCheckpoint() keeps two epochs and the best weights they need, nothing else", async (folder) => {
  for (const [epoch, best] of [[1, 1], [2, 2], [3, 2], [4, 2], [5, 2]] as const) {
    await write(folder, epoch, best);
  }
  await put(folder, "weights-mine.bin", "");
  await write(folder, 6, 6);
  await holdsJust(
    folder,
    `best-0002.bin best-0006.bin epoch-0005.json epoch-0006.json
    weights-0005.bin weights-0006.bin weights-mine.bin`,
  );
  assert.deepEqual(await read(folder), [6, 6, 6]);
  await removeCheckpoints(folder);
  await holdsJust(folder, "weights-mine.bin");
  await removeCheckpoints(join(folder, "missing"));
});

Deno.test("readCheckpoint() passes over a checkpoint of which any part is damaged", async () => {
  const flip = async (path: string) => {
    const bytes = await Deno.readFile(path);
    bytes[bytes.length - 3]! ^= 0x10;
    await Deno.writeFile(path, bytes);
  };
  const damages: ((folder: string) => Promise<void>)[] = [
    (folder) => flip(join(folder, "weights-0003.bin")),
    (folder) => flip(join(folder, "best-0003.bin")),
    (folder) => Deno.truncate(join(folder, "weights-0003.bin"), 8),
    (folder) => Deno.truncate(join(folder, "epoch-0003.json"), 40),
    (folder) => Deno.remove(join(folder, "weights-0003.bin")),
    (folder) => Deno.remove(join(folder, "best-0003.bin")),
    (folder) => put(folder, "epoch-0003.json", "{}"),
    async (folder) => {
      const path = join(folder, "epoch-0003.json");
      const text = await Deno.readTextFile(path);
      await Deno.writeTextFile(path, text.replace("weights-0003.bin", "../../../etc/passwd"));
    },
  ];
  for (const damage of damages) {
    await inFolder(async (folder) => {
      for (const epoch of [1, 2, 3]) await write(folder, epoch, epoch);
      assert.deepEqual(await read(folder), [3, 3, 3]);
      await damage(folder);
      assert.deepEqual(await read(folder), [2, 2, 2]);
      await write(folder, 3, 3); // trained again
      assert.deepEqual(await read(folder), [3, 3, 3]);
    });
  }
});

test("writeCheckpoint() keeps places within an epoch in the order of the training", async (folder) => {
  await write(folder, 9, 9);
  await write(folder, 9, 9, 20);
  await write(folder, 9, 9, 100);
  await holdsJust(
    folder,
    `best-0009.bin epoch-0009-000020.json epoch-0009-000100.json
    weights-0009-000020.bin weights-0009-000100.bin`,
  );
  const found = await readCheckpoint(folder, "fingerprint");
  assert.deepEqual(found?.state, stateOf(9, 9, 100));
  tf.dispose([...found!.tensors.values(), ...found!.bestTensors!.values()]);
  await Deno.truncate(join(folder, "weights-0009-000100.bin"), 8);
  assert.deepEqual(await read(folder), [9, 9, 9]);
  await write(folder, 10, 9);
  assert.deepEqual(await read(folder), [10, 10, 9]);
  await removeCheckpoints(folder);
  await holdsJust(folder, "");
});

test("writeCheckpoint() counts on beyond 9999 epochs", async (folder) => {
  for (const epoch of [9998, 9999, 10000, 10001]) await write(folder, epoch, 9998);
  assert.deepEqual(await read(folder), [10001, 10001, 9998]);
  await holdsJust(
    folder,
    `best-9998.bin epoch-10000.json epoch-10001.json weights-10000.bin
    weights-10001.bin`,
  );
});
