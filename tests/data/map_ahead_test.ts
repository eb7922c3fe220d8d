import fc from "fast-check";
import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import { mapAhead } from "../../lib/core/long_work.ts";

Deno.test("mapAhead() yields every result in order, within its bounds", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(3), { maxLength: 40 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 12 }),
      async (delays, inFlight, ahead) => {
        let [running, started, taken] = [0, 0, 0];
        const work = async (i: number): Promise<number> => {
          started++;
          running++;
          assert(running <= inFlight);
          assert(started - taken <= ahead + 1); // one more is in the consumer's hands
          for (let tick = 0; tick < delays[i]!; tick++) await setTimeout(0);
          running--;
          return i;
        };
        const results: number[] = [];
        for await (const result of mapAhead(delays.keys(), work, { inFlight, ahead })) {
          results.push(result);
          taken++;
        }
        assert.deepEqual(results, [...delays.keys()]);
      },
    ),
    { seed: 1, numRuns: 60 },
  );
});

/** Work of a few milliseconds that counts itself; the fourth call fails when asked to. */
function countedWork(fails = false) {
  const count = { running: 0, started: 0 };
  const work = async (i: number): Promise<number> => {
    count.started++;
    count.running++;
    await setTimeout(fails && i === 3 ? 0 : 5);
    count.running--;
    if (fails && i === 3) throw new Error("third");
    return i;
  };
  return { count, work };
}

Deno.test("mapAhead() throws a failure when its turn comes, and leaves nothing running", async () => {
  const { count, work } = countedWork(true);
  const results: number[] = [];
  await assert.rejects(async () => {
    for await (const i of mapAhead(Array(100).keys(), work, { inFlight: 4, ahead: 8 })) {
      results.push(i);
    }
  }, /third/);
  assert.deepEqual(results, [0, 1, 2]);
  assert.equal(count.running, 0);
  const before = count.started;
  await setTimeout(20);
  assert.equal(count.started, before);
  assert(before < 100);
});

Deno.test("mapAhead() stops when the consumer does", async () => {
  const { count, work } = countedWork();
  for await (const i of mapAhead(Array(1000).keys(), work, { inFlight: 3, ahead: 6 })) {
    if (i === 5) break;
  }
  assert.equal(count.running, 0);
  assert(count.started <= 13, `${count.started} started`);
});
