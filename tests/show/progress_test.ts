import assert from "node:assert/strict";
import type { OnProgress } from "../../lib/core/stop.ts";
import { createProgress, progressDisplay } from "../../lib/show/display.ts";

Deno.test("createProgress() shows the first and last state, and at most one an interval", () => {
  let time = 0;
  const shown: string[] = [];
  const progress = createProgress(
    "Reading",
    ({ text }, finished) => void shown.push(finished ? `${text}!` : text),
    () => time,
  );
  for (let done = 0; done <= 10; done++) {
    progress(done, 10);
    time += 90;
  }
  assert.deepEqual(shown, [
    "Reading: 0 of 10",
    "Reading: 3 of 10 · 11.1 a second, 0.6 s left",
    "Reading: 6 of 10 · 11.1 a second, 0.4 s left",
    "Reading: 9 of 10 · 11.1 a second, 0.1 s left",
    "Reading: 10 of 10 · in 0.9 s!",
  ]);
});

Deno.test("progressDisplay() speaks of long times, escapes, and stands no work", () => {
  const state = { label: "<b>", done: 1, total: 1000, note: "<i>", rate: 0.05, seconds: 20 };
  const { html, text } = progressDisplay(state);
  assert.equal(text, "<b>: 1 of 1,000 · 0.0500 a second, 5 h 33 min left · <i>");
  assert.match(html, /&lt;b&gt;.*<progress value="1" max="1000".*&lt;i&gt;/);
  const nothing = progressDisplay({ ...state, done: 0, total: 0, rate: 0, seconds: 0 });
  assert.match(nothing.text, /0 of 0 · in 0\.0 s/);
});

Deno.test("progressDisplay() gives speeds with three digits that count", () => {
  const at = (rate: number) =>
    /· (\S+) a second/.exec(
      progressDisplay({ label: "a", done: 1, total: 9, rate, seconds: 1 }).text,
    )?.[1];
  assert.deepEqual([0.012345, 1, 99.94, 123.4, 12345].map(at), [
    "0.0123",
    "1.00",
    "99.9",
    "123",
    "12,345",
  ]);
});

Deno.test("progressDisplay() has no text that moves a terminal's cursor", () => {
  const state = { label: "a", done: 1, total: 2, note: "\x1b[2Jx\ny", rate: 1, seconds: 1 };
  assert.match(progressDisplay(state).text, /· x y$/);
});

/** What a progress display says over time: each call is made at its second. */
function shownOf(calls: [second: number, ...Parameters<OnProgress>][]): string[] {
  let time = 0;
  const shown: string[] = [];
  const progress = createProgress("Training", ({ text }) => void shown.push(text), () => time, 0);
  for (const [second, ...call] of calls) {
    time = 1000 * second;
    progress(...call);
  }
  return shown;
}

const place = (text: string) => ({ place: text, unit: "images" });

Deno.test("createProgress() says of training the epoch, batch, images a second and time left", () => {
  assert.deepEqual(
    shownOf([
      [0, 0, 400, undefined, place("epoch 1 of at most 2, starting")],
      [2, 50, 400, "loss 0.7000", place("epoch 1 of at most 2, batch 1 of 3")],
    ]),
    [
      "Training: epoch 1 of at most 2, starting",
      "Training: epoch 1 of at most 2, batch 1 of 3 · 25.0 images a second, 14 s left · loss 0.7000",
    ],
  );
});

Deno.test("createProgress() reckons each phase from its own start", () => {
  assert.deepEqual(
    shownOf([
      [1, 50, 100, "frozen layers"],
      [2, 100, 100, "frozen layers"],
      [3, 0, 100, "epoch 1"],
      [4, 10, 100, "epoch 1"],
    ]),
    [
      "Training: 50 of 100 · frozen layers",
      "Training: 100 of 100 · in 2.0 s · frozen layers",
      "Training: 0 of 100 · epoch 1",
      "Training: 10 of 100 · 10.0 a second, 9.0 s left · epoch 1",
    ],
  );
});

Deno.test("createProgress() counts nothing that was done before, in a continued training", () => {
  assert.deepEqual(shownOf([[10, 500, 1000], [11, 505, 1000]]), [
    "Training: 500 of 1,000",
    "Training: 505 of 1,000 · 5.00 a second, 1 min 39 s left",
  ]);
});

Deno.test("createProgress() ends with the total, which may be less than was thought", () => {
  const stopped = place("stopped early after epoch 3");
  assert.deepEqual(shownOf([[1, 100, 1000], [4, 300, 1000], [5, 300, 300, undefined, stopped]]), [
    "Training: 100 of 1,000",
    "Training: 300 of 1,000 · 66.7 a second, 11 s left",
    "Training: stopped early after epoch 3 · in 5.0 s",
  ]);
});
