import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { TrainingError } from "../../lib/core/errors.ts";
import { exists } from "../../lib/core/files.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { latestCheckpoint } from "../../lib/training/checkpoint.ts";
import { type ToyJob, toyModel, toyTests, trainToy } from "./toy.ts";

const model = toyModel();

/** A test with 20 training images (5 batches of 4) and 6 validation images (2 batches). */
const withToy = toyTests(model, { train: 20, validation: 6 });

const change = { training: { epochs: 3, batchSize: 4 } };

/** Runs with checkpoints of its own. */
const apart = (toy: ToyJob, name: string) => ({ checkpoints: join(toy.folder, name) });

/** Asks to stop after so many batches, training and validation ones. */
function stopAfter(batches: number): Pick<ToyJob, "onProgress" | "stopRequested"> {
  let seen = -1; // the first call is before any batch
  return { onProgress: () => void seen++, stopRequested: () => seen >= batches };
}

Deno.test(
  "fit() stopped between any two batches goes on there, with the history of one never stopped",
  withToy(async (toy) => {
    const before = tf.memory().numTensors;
    const whole = await trainToy({ ...toy, ...apart(toy, "whole"), change });
    assert.equal(whole.interrupted, false);
    // within the first epoch, after its last step, in a validation, in a later epoch
    for (const [batches, epoch, steps] of [[2, 0, 2], [5, 0, 5], [7, 0, 5], [9, 1, 1]]) {
      const job = { ...toy, ...apart(toy, `stopped ${batches}`), change };
      const stopped = await trainToy({ ...job, ...stopAfter(batches!) });
      assert.equal(stopped.interrupted, true);
      assert.deepEqual(stopped.history, whole.history.slice(0, epoch));
      const { state } = (await latestCheckpoint(job.checkpoints))!;
      assert.deepEqual([state.epoch, state.partial?.steps ?? 0], [epoch, steps]);
      const resumed = await trainToy(job);
      assert.deepEqual(resumed, { ...whole, resumedFrom: epoch });
    }
    assert.equal(tf.memory().numTensors, before);
  }),
);

Deno.test(
  "fit() saves within an epoch where it is long, and goes on there after a kill",
  withToy(async (toy) => {
    const whole = await trainToy({ ...toy, ...apart(toy, "whole"), change });
    const job = {
      ...toy,
      ...apart(toy, "killed"),
      change: { training: { ...change.training, checkpoint: { minutes: 1e-9 } } },
    };
    let calls = 0;
    const killed = trainToy({
      ...job,
      onProgress: () => {
        if (++calls === 5) throw new Error("killed"); // after the fourth batch, before its checkpoint
      },
    });
    await assert.rejects(killed, /killed/);
    const { state } = (await latestCheckpoint(job.checkpoints))!;
    assert.deepEqual([state.epoch, state.partial?.steps], [0, 3]);
    assert.deepEqual(await trainToy(job), whole);
  }),
);

Deno.test(
  "fit() does not begin anew over an interrupted training of other settings unless it is told to",
  withToy(async (toy) => {
    const fingerprint = (learningRate: number) =>
      JSON.stringify({ seed: 1, training: { learningRate, batchSize: 4 } });
    const job = { ...toy, change };
    await trainToy({ ...job, fingerprint: fingerprint(1e-3), ...stopAfter(8) });
    await assert.rejects(trainToy({ ...job, fingerprint: fingerprint(1e-4) }), (error: unknown) => {
      assert(error instanceof TrainingError);
      assert.match(error.message, /saved in epoch 2/);
      assert.match(error.message, /- training\.learningRate was 0\.001, is 0\.0001\n/);
      assert.doesNotMatch(error.message, /batchSize/);
      assert.match(error.remedy, /set training\.startAnew to true/);
      return true;
    });
    const anew = { training: { ...change.training, startAnew: true } };
    const other = await trainToy({ ...job, fingerprint: fingerprint(1e-4), change: anew });
    assert.deepEqual([other.resumedFrom, other.history.length], [0, 3]);
    // one that has come to its end is in nobody's way
    const third = await trainToy({ ...job, fingerprint: fingerprint(1e-5) });
    assert.deepEqual([third.resumedFrom, third.history.length], [0, 3]);
  }),
);

Deno.test(
  "fit() says so when a checkpoint cannot be written, and goes on from the one before it",
  withToy(async (toy) => {
    const whole = await trainToy({ ...toy, ...apart(toy, "whole"), change });
    const job = { ...toy, ...apart(toy, "full"), change };
    const blocked = join(job.checkpoints, "weights-0002.bin");
    const failing = trainToy({
      ...job,
      onEpoch: async (history) => {
        if (history.length !== 1) return;
        while (!await exists(join(job.checkpoints, "epoch-0001.json"))) await delay(5);
        await delay(100); // until the first checkpoint has been tidied up behind
        await Deno.mkdir(join(blocked, "in the way"), { recursive: true });
      },
    });
    await assert.rejects(failing, (error: unknown) => {
      assert(error instanceof TrainingError, String(error));
      assert.match(error.message, /The checkpoint could not be written/);
      assert.match(error.remedy, /disk space.*goes on from the last checkpoint, after epoch 1/);
      return true;
    });
    await Deno.remove(blocked, { recursive: true });
    assert.deepEqual(await trainToy(job), { ...whole, resumedFrom: 1 });
  }),
);
