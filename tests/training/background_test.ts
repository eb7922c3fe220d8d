import assert from "node:assert/strict";
import { createBackground } from "../../lib/training/checkpoint.ts";

const tick = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

Deno.test("createBackground() runs one piece of work at a time, and goes on meanwhile", async () => {
  const background = createBackground();
  const seen: string[] = [];
  const work = (name: string) => async () => {
    seen.push(`${name} begins`);
    await tick();
    seen.push(`${name} ends`);
  };
  await background.start(work("a"));
  seen.push("between");
  await background.start(work("b"));
  await background.settle();
  assert.deepEqual(seen, ["a begins", "between", "a ends", "b begins", "b ends"]);
});

Deno.test("createBackground() tells of a failure once, and starts nothing before", async () => {
  const background = createBackground();
  await background.start(() => Promise.reject(new Error("disk full")));
  let started = false;
  const next = background.start(() => Promise.resolve(void (started = true)));
  await assert.rejects(next, /disk full/);
  assert.equal(started, false);
  await background.settle();
});
