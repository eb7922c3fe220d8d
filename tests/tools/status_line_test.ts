import assert from "node:assert/strict";
import { textLines } from "../../lib/core/python.ts";
import { duration, printable, statusLine } from "../../lib/core/terminal.ts";

/** A screen in memory. */
function screen(isTerminal: boolean) {
  const state = { text: "", time: 0 };
  const status = statusLine({
    isTerminal,
    write: (text) => void (state.text += text),
    columns: () => 11,
    now: () => state.time,
  });
  return { state, status };
}

Deno.test("statusLine() writes over its line on a terminal, cut to its width", () => {
  const { state, status } = screen(true);
  status.update("one");
  status.update("0123456789abc");
  status.log("not kept");
  status.print("done");
  assert.equal(state.text, "one\r\x1b[2K012345678…\r\x1b[2Kdone\n");
});

Deno.test("statusLine() writes to a log only now and then", () => {
  const { state, status } = screen(false);
  status.update("at once");
  status.log("kept");
  state.time = 25_000;
  status.update("later");
  state.time = 26_000;
  status.update("too soon");
  assert.equal(state.text, "kept\nlater\n");
});

Deno.test("printable() takes away what moves the cursor", () => {
  assert.equal(printable("\x1b[31mred\x1b[0m\r\x07end"), "red  end");
});

Deno.test("duration() is in words", () => {
  const durations = [400, 12_000, 59_600, 185_000, 3_725_000].map(duration);
  assert.deepEqual(durations, ["0.4 s", "12 s", "1 min 0 s", "3 min 5 s", "1 h 2 min"]);
});

Deno.test("textLines() puts lines together across pieces, progress displays included", async () => {
  const pieces = ["one\r", "\ntw", "o\n10 %\r20 %\r30 %\n", "l\u00e4", "st"];
  const stream = ReadableStream.from(pieces.map((piece) => new TextEncoder().encode(piece)));
  const lines: string[] = [];
  for await (const line of textLines(stream)) lines.push(line);
  assert.deepEqual(lines, ["one", "two", "10 %", "20 %", "30 %", "läst"]);
});
