import fc from "fast-check";
import assert from "node:assert/strict";
import { createBudget } from "../../lib/core/long_work.ts";

Deno.test("createBudget() never lets more be held than its limit, but for one that is larger", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.record({ amount: fc.integer({ min: 0, max: 30 }), ticks: fc.nat(3) }), {
      maxLength: 30,
    }),
    async (pieces) => {
      const budget = createBudget(20);
      let [held, running, done] = [0, 0, 0];
      await Promise.all(pieces.map(({ amount, ticks }) =>
        budget.spend(amount, async () => {
          held += amount;
          running += amount > 0 ? 1 : 0;
          assert.ok(held <= 20 || running === 1, `${held} held by ${running}`);
          for (let i = 0; i < ticks; i++) await Promise.resolve();
          held -= amount;
          running -= amount > 0 ? 1 : 0;
          done++;
        })
      ));
      assert.equal(done, pieces.length);
    },
  ));
});

Deno.test("createBudget() gives back what a failed piece of work held", async () => {
  const budget = createBudget(1);
  await assert.rejects(budget.spend(1, () => Promise.reject(new Error("no"))), /no/);
  assert.equal(await budget.spend(1, () => Promise.resolve("yes")), "yes");
});
