import assert from "node:assert/strict";
import { htmlDisplay } from "../../lib/notebook/displayable.ts";
import { createLive } from "../../lib/notebook/live.ts";
import { createProgress, progressDisplay } from "../../lib/notebook/progress.ts";

Deno.test("createProgress() shows the first and last state, and at most one an interval", () => {
  let time = 0;
  const shown: string[] = [];
  const progress = createProgress(
    "Reading",
    { show: ({ text }, finished) => shown.push(finished ? `${text}!` : text), interval: 200 },
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
  const state = { label: "<b>", done: 1, total: 1000, note: "<i>", seconds: 20 };
  const { html, text } = progressDisplay(state);
  assert.equal(text, "<b>: 1 of 1,000 · 0.0500 a second, 5 h 33 min left · <i>");
  assert.match(html, /&lt;b&gt;.*<progress value="1" max="1000".*&lt;i&gt;/);
  const nothing = progressDisplay({ ...state, done: 0, total: 0, seconds: 0 });
  assert.match(nothing.text, /0 of 0 · in 0\.0 s/);
});

Deno.test("createLive() sends one display and then updates of the same one, in order", async () => {
  const sent: [string, Record<string, unknown>][] = [];
  const live = createLive({
    broadcast: (type, content) => {
      sent.push([type, content]);
      return Promise.resolve();
    },
  });
  await Promise.all(
    ["a", "b", "c"].map((text) => live.update(htmlDisplay(`<b>${text}</b>`, text))),
  );
  assert.deepEqual(sent.map(([type]) => type), [
    "display_data",
    "update_display_data",
    "update_display_data",
  ]);
  assert.deepEqual(sent[2]![1]["data"], { "text/html": "<b>c</b>", "text/plain": "c" });
  assert.equal(new Set(sent.map(([, content]) => JSON.stringify(content["transient"]))).size, 1);
});

Deno.test("createLive() shows nothing outside a notebook", async () => {
  await createLive().update(htmlDisplay("<b>a</b>", "a"));
});
