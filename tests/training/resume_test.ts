import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { exists } from "../../lib/core/files.ts";
import { projectRoot } from "../../lib/core/paths.ts";
import { textLines } from "../../lib/core/python.ts";
import { createRandom } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import type { HistoryRow } from "../../lib/run/history.ts";
import { latestCheckpoint } from "../../lib/training/checkpoint.ts";
import { inFolder } from "../data/test_images.ts";
import {
  apart,
  killed,
  toyImages,
  type ToyJob,
  toyModel,
  toyTests,
  trainToy,
  WARM_UP,
  withWrongValidation,
} from "./toy.ts";

/** A test with 20 training and 9 validation images in a folder of its own. */
const test = toyTests(toyModel(), { train: 20, validation: 9 });

test("fit() goes on after a kill as if there had been none", async (right) => {
  for (
    const toy of [{ ...right, change: { training: { epochs: 4 } } }, withWrongValidation(right)]
  ) {
    const before = tf.memory().numTensors;
    const whole = await trainToy(apart(toy, "whole"));
    assert.ok(whole.history.length >= 4);
    const job = apart(toy, "killed");
    for (const epoch of [1, 3]) await killed(job, epoch);
    assert.equal(tf.memory().numTensors, before, "a killed training frees its tensors");
    assert.deepEqual(await trainToy(job), { ...whole, resumedFrom: 3 });
    await Deno.remove(join(toy.folder, "whole"), { recursive: true });
    await Deno.remove(join(toy.folder, "killed"), { recursive: true });
  }
});

test("fit() repeats an epoch that was killed before its checkpoint was written", async (right) => {
  const toy = { ...right, change: { training: { epochs: 8, batchSize: 4 } } };
  const whole = await trainToy(apart(toy, "whole"));
  const last = whole.bestEpoch;
  assert.ok(last > 1);
  const onBest: ToyJob["onBest"] = (_, { epoch }) =>
    epoch === last ? Promise.reject(new Error("killed")) : Promise.resolve();
  await killed({ ...apart(toy, "killed"), onBest });
  const kept: number[] = [];
  const resumed = await trainToy({
    ...apart(toy, "killed"),
    onBest: (_, { epoch }) => Promise.resolve(void kept.push(epoch)),
  });
  assert.deepEqual([resumed, kept], [{ ...whole, resumedFrom: last - 1 }, [last]]);
});

test("fit() goes back one checkpoint where the latest is damaged, and begins anew where both are", async (toy) => {
  const whole = await trainToy(apart(toy, "whole"));
  await killed(toy, 2);
  const damage = async (name: string) => {
    const path = join(toy.folder, "checkpoints", name);
    const bytes = await Deno.readFile(path);
    bytes[bytes.length >> 1]! ^= 1;
    await Deno.writeFile(path, bytes);
  };
  await damage("weights-0002.bin");
  assert.deepEqual(await trainToy(toy), { ...whole, resumedFrom: 1 });

  await Deno.truncate(join(toy.folder, "checkpoints", "epoch-0003.json"), 100);
  assert.deepEqual(await trainToy(toy), { ...whole, resumedFrom: 2 });

  const before = tf.memory().numTensors;
  await damage("weights-0002.bin");
  await damage("weights-0003.bin");
  assert.deepEqual(await trainToy(toy), whole);
  assert.equal(tf.memory().numTensors, before);
});

test("fit() begins anew for another fingerprint, and removes no file that is not its own", async (toy) => {
  const first = await trainToy({ ...toy, change: { training: { epochs: 2 } } });
  await Deno.writeTextFile(join(toy.folder, "checkpoints", "notes.txt"), "mine");
  const another = { fingerprint: "another", change: { training: { epochs: 1 } } };
  const second = await trainToy({ ...toy, ...another });
  assert.deepEqual([second.resumedFrom, second.history], [0, first.history.slice(0, 1)]);
  const names = (await Array.fromAsync(Deno.readDir(join(toy.folder, "checkpoints"))))
    .map(({ name }) => name).sort();
  assert.deepEqual(names, ["best-0001.bin", "epoch-0001.json", "notes.txt", "weights-0001.bin"]);
});

test("fit() continues a finished training when the epochs are raised, and else trains nothing", async (toy) => {
  const whole = await trainToy(apart(toy, "whole"));
  await trainToy({ ...toy, change: { training: { epochs: 2 } } });
  assert.deepEqual(await trainToy(toy), { ...whole, resumedFrom: 2 });

  for (const { path } of [...toy.train, ...toy.validation]) await Deno.remove(path);
  const nothing = () => assert.fail("nothing is left to train");
  const again = await trainToy({ ...toy, onBest: nothing, onEpoch: nothing });
  assert.deepEqual(again, { ...whole, resumedFrom: 3 });
});

test("fit() does not continue a training that EarlyStopping has ended", async (right) => {
  const toy = withWrongValidation(right);
  const change = (epochs: number) => ({ training: { epochs, earlyStopping: { patience: 1 } } });
  const places: string[] = [];
  const onProgress: ToyJob["onProgress"] = (done, total, _note, at) => {
    if (done === total) places.push(at?.place ?? "");
  };
  const first = await trainToy({ ...toy, change: change(9), onProgress });
  assert.ok(first.history.length < 9);
  const epochs = first.history.length;
  assert.equal(places.at(-1), `stopped early after epoch ${epochs} of at most 9`);
  assert.equal(first.events.at(-1)?.kind, "early_stopping");
  const again = await trainToy({ ...toy, change: change(12) });
  assert.deepEqual(again, { ...first, resumedFrom: first.history.length });
});

test("fit() killed at the end of warm-up, or with augmentation, goes on as if it had not been", async (toy) => {
  const before = tf.memory().numTensors;
  const augmentation = { symmetries: true, rotation: 15, stain: 0.2, jpegQuality: 60, cutOut: 0.2 };
  for (const change of [WARM_UP, { training: { augmentation, sampling: "balanced" as const } }]) {
    const whole = await trainToy({ ...apart(toy, "whole"), change });
    assert.deepEqual(await trainToy({ ...apart(toy, "again"), change }), whole);
    const job = { ...apart(toy, "killed"), change };
    await killed(job, 2);
    assert.deepEqual(await trainToy(job), { ...whole, resumedFrom: 2 });
    const plain = {
      training: { ...change.training, augmentation: "none" as const, warmupEpochs: 0 },
    };
    const other = await trainToy({ ...apart(toy, "plain"), change: plain });
    assert.notEqual(other.history[0]!.loss, whole.history[0]!.loss);
    for (const name of ["whole", "again", "killed", "plain"]) {
      await Deno.remove(join(toy.folder, name), { recursive: true });
    }
  }
  assert.equal(tf.memory().numTensors, before);
});

const change = { training: { epochs: 3, batchSize: 4 } };

/** With 5 training batches an epoch and 2 of validation. */
const short = (toy: ToyJob): ToyJob => ({ ...toy, validation: toy.validation.slice(0, 6), change });

/** Asks to stop after so many batches, training and validation ones. */
function stopAfter(batches: number): Pick<ToyJob, "onProgress" | "stopRequested"> {
  let seen = -1; // the first call is before any batch
  return { onProgress: () => void seen++, stopRequested: () => seen >= batches };
}

test("fit() stopped between any two batches goes on there, with the history of one never stopped", async (all) => {
  const toy = short(all);
  const before = tf.memory().numTensors;
  const whole = await trainToy(apart(toy, "whole"));
  assert.equal(whole.interrupted, false);
  // within the first epoch, after its last step, in a validation, in a later epoch
  for (const [batches, epoch, steps] of [[2, 0, 2], [5, 0, 5], [7, 0, 5], [9, 1, 1]]) {
    const job = apart(toy, `stopped ${batches}`);
    const stopped = await trainToy({ ...job, ...stopAfter(batches!) });
    assert.equal(stopped.interrupted, true);
    assert.deepEqual(stopped.history, whole.history.slice(0, epoch));
    const { state } = (await latestCheckpoint(job.checkpoints!))!;
    assert.deepEqual([state.epoch, state.partial?.steps ?? 0], [epoch, steps]);
    assert.deepEqual(await trainToy(job), { ...whole, resumedFrom: epoch });
  }
  assert.equal(tf.memory().numTensors, before);
});

test("fit() saves within an epoch where it is long, and goes on there after a kill", async (all) => {
  const toy = short(all);
  const whole = await trainToy(apart(toy, "whole"));
  const job = {
    ...apart(toy, "killed"),
    change: { training: { ...change.training, checkpoint: { minutes: 1e-9 } } },
  };
  let calls = 0;
  const onProgress = () => {
    if (++calls === 5) throw new Error("killed"); // after the fourth batch, before its checkpoint
  };
  await killed({ ...job, onProgress });
  const { state } = (await latestCheckpoint(job.checkpoints!))!;
  assert.deepEqual([state.epoch, state.partial?.steps], [0, 3]);
  assert.deepEqual(await trainToy(job), whole);
});

test("fit() does not begin anew over an interrupted training of other settings unless it is told to", async (all) => {
  const toy = short(all);
  const fingerprint = (learningRate: number) =>
    JSON.stringify({ seed: 1, training: { learningRate, batchSize: 4 } });
  await trainToy({ ...toy, fingerprint: fingerprint(1e-3), ...stopAfter(8) });
  await assert.rejects(trainToy({ ...toy, fingerprint: fingerprint(1e-4) }), {
    name: "TrainingError",
    message:
      /^(?!.*batchSize).*saved in epoch 2.*- training\.learningRate was 0\.001, is 0\.0001\n/s,
    remedy: /set training\.startAnew to true/,
  });
  const anew = { training: { ...change.training, startAnew: true } };
  const other = await trainToy({ ...toy, fingerprint: fingerprint(1e-4), change: anew });
  assert.deepEqual([other.resumedFrom, other.history.length], [0, 3]);
  // one that has come to its end is in nobody's way
  const third = await trainToy({ ...toy, fingerprint: fingerprint(1e-5) });
  assert.deepEqual([third.resumedFrom, third.history.length], [0, 3]);
});

test("fit() says so when a checkpoint cannot be written, and goes on from the one before it", async (all) => {
  const toy = short(all);
  const whole = await trainToy(apart(toy, "whole"));
  const job = apart(toy, "full");
  const blocked = join(job.checkpoints!, "weights-0002.bin");
  const failing = trainToy({
    ...job,
    onEpoch: async (history) => {
      if (history.length !== 1) return;
      while (!await exists(join(job.checkpoints!, "epoch-0001.json"))) await delay(5);
      await delay(100); // until the first checkpoint has been tidied up behind
      await Deno.mkdir(join(blocked, "in the way"), { recursive: true });
    },
  });
  await assert.rejects(failing, {
    name: "TrainingError",
    message: /The checkpoint could not be written/,
    remedy: /disk space.*goes on from the last checkpoint, after epoch 1/,
  });
  await Deno.remove(blocked, { recursive: true });
  assert.deepEqual(await trainToy(job), { ...whole, resumedFrom: 1 });
});

const KILLS = 20;

/** What the child prints at its end. */
interface Result {
  history: Omit<HistoryRow, "seconds">[];
  events: unknown[];
  bestEpoch: number;
}

function startChild(folder: string, checkpoints: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-check", "--config", join(projectRoot, "deno.json")],
      ...[join(import.meta.dirname!, "kill_child.ts"), folder, checkpoints],
    ],
    env: { TF_CPP_MIN_LOG_LEVEL: "3" },
    stdout: "piped",
    stderr: "null",
  }).spawn();
}

/** Trains to the end, in as many lives as it takes, and counts the kills during the training. */
async function trainKilled(folder: string): Promise<{ result: Result; kills: number }> {
  const random = createRandom("kills");
  for (let kills = 0;;) {
    const child = startChild(folder, "killed");
    const early = random.next() < 0.1; // while it starts: there is nothing to lose, nor to spoil
    const killWithin = (ms: number) => setTimeout(() => child.kill("SIGKILL"), ms * random.next());
    let timer = early && kills < KILLS ? killWithin(2000) : 0;
    let [result, begun]: [Result | null, boolean] = [null, false];
    for await (const line of textLines(child.stdout)) {
      if (line === "begun") {
        begun = true;
        if (!timer && kills < KILLS) timer = killWithin(400);
      } else if (line.startsWith("{")) result = JSON.parse(line);
    }
    clearTimeout(timer);
    const { signal } = await child.status;
    if (result) return { result, kills };
    assert.equal(signal, "SIGKILL", "the child ends by the kill alone");
    if (begun) kills += 1;
  }
}

Deno.test("fit() killed at 20 random moments ends with the history of one never killed", () =>
  inFolder(async (folder) => {
    const [train, validation] = [await toyImages(folder, 20, 1), await toyImages(folder, 6, 2)];
    const items = { train, validation };
    await Deno.writeTextFile(join(folder, "items.json"), JSON.stringify(items));
    const whole = startChild(folder, "whole");
    const lines = await Array.fromAsync(textLines(whole.stdout));
    assert.ok((await whole.status).success);
    const expected: Result = JSON.parse(lines.at(-1)!);
    assert.equal(expected.history.length, 60);

    const { result, kills } = await trainKilled(folder);
    assert.equal(kills, KILLS, "the training lasts longer than the kills");
    assert.deepEqual(result.events, expected.events);
    assert.equal(result.bestEpoch, expected.bestEpoch);
    assert.equal(result.history.length, 60);
    for (const [index, row] of result.history.entries()) {
      for (const [name, value] of Object.entries(row)) {
        const other = expected.history[index]![name as "loss"];
        assert.ok(
          Math.abs(Number(value) - other) <= 1e-4,
          `${row.epoch} ${name}: ${value}, ${other}`,
        );
      }
    }
  }));
