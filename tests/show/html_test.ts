import assert from "node:assert/strict";
import { htmlTable, notice, syntheticNotice } from "../../lib/show/display.ts";

Deno.test("htmlTable() escapes every text and aligns numbers to the right", () => {
  const { html } = htmlTable(
    [{ "<name>": "<script>", value: 0.123456, ok: true }, {
      "<name>": "b",
      value: null,
      ok: false,
    }],
    { caption: "A & B" },
  );
  assert.doesNotMatch(html, /<script>|<name>/);
  assert.match(html, /A &amp; B/);
  assert.match(html, /text-align:right[^>]*>0\.1235</);
  assert.match(html, /text-align:right[^>]*>–</);
  assert.match(html, />yes</);
});

Deno.test("htmlTable() shows the columns asked for, in order, and at most 200 rows", () => {
  const rows = Array.from({ length: 250 }, (_, a) => ({ a, b: 1, c: 2 }));
  const { html, text } = htmlTable(rows, { columns: ["c", "a"] });
  assert.deepEqual([...html.matchAll(/<th[^>]*>(\w)</g)].map((match) => match[1]), ["c", "a"]);
  assert.equal(html.match(/<tr>/g)!.length, 201);
  assert.match(html, /and 50 more rows/);
  assert.equal(text, "Table: 250 rows");
});

Deno.test("htmlTable() wraps columns of long texts alone", () => {
  const { html } = htmlTable([{ score: 0.123456, short: "0123456789ab", long: "0123456789abc" }]);
  const whole = [...html.matchAll(/<td[^>]*white-space:nowrap[^>]*>([^<]*)</g)];
  assert.deepEqual(whole.map((match) => match[1]), ["0.1235", "0123456789ab"]);
});

Deno.test("htmlTable() of nothing is an empty table", () => {
  assert.match(htmlTable([]).html, /<tbody><\/tbody>/);
});

Deno.test("notice() escapes its text", () => {
  assert.match(notice("a <b>", "warning").html, /a &lt;b&gt;/);
  assert.match(syntheticNotice().text, /^Synthetic sample images: drawn by a program/);
});

Deno.test("htmlTable() lets long names break after their separators, and keeps them names", () => {
  const { html } = htmlTable([{ name: "S_1/<b>_&/x_y.png" }]);
  assert.match(html, />S_<wbr>1\/&lt;b&gt;_&amp;\/<wbr>x_<wbr>y\.png</);
});

Deno.test("htmlTable() breaks a narrow column beside a number, not within it", () => {
  const { html } = htmlTable([{ settings: "learningRate\u00a00.0003" }]);
  assert.ok(html.includes("learningRate\u00a0<wbr>0.0003<"));
});

Deno.test("notice() keeps line breaks", () => {
  const { html } = notice("one\ntwo");
  assert.match(html, /white-space:pre-line.*one\ntwo/);
});
