import assert from "node:assert/strict";
import fc from "fast-check";
import {
  createLive,
  displayAll,
  escapeHtml,
  htmlDisplay,
  htmlTable,
  jupyterDisplay,
  notice,
  printable,
  show,
  syntheticNotice,
} from "../../lib/show/display.ts";

const [a, b, c] = ["a", "b", "c"].map((text) => htmlDisplay(`<b>${text}</b>`, text));

Deno.test("displayAll() is several things in order, without what is missing", () => {
  const all = displayAll(a, null, b, undefined);
  const data = { "text/html": "<b>a</b><b>b</b>", "text/plain": "a\nb" };
  assert.deepEqual(all[jupyterDisplay](), data);
  assert.deepEqual(displayAll()[jupyterDisplay](), { "text/html": "", "text/plain": "" });
});

Deno.test("show() prints texts outside a notebook, in order, of all that it takes", async () => {
  const printed: unknown[] = [];
  const { log } = console;
  console.log = (text) => void printed.push(text);
  try {
    await show(a, null, [b, undefined, displayAll(a, c)], Promise.resolve(c), undefined, []);
  } finally {
    console.log = log;
  }
  assert.deepEqual(printed, ["a", "b", "a\nc", "c"]);
});

Deno.test("createLive() sends one display and then updates of the same one, in order", async () => {
  const sent: [string, Record<string, unknown>][] = [];
  const live = createLive({
    broadcast: (type, content) => {
      sent.push([type, content]);
      return Promise.resolve();
    },
  });
  await Promise.all([a, b, c].map((content) => live.update(content!)));
  assert.deepEqual(sent.map(([type]) => type), [
    "display_data",
    "update_display_data",
    "update_display_data",
  ]);
  assert.deepEqual(sent[2]![1]["data"], { "text/html": "<b>c</b>", "text/plain": "c" });
  assert.equal(new Set(sent.map(([, content]) => JSON.stringify(content["transient"]))).size, 1);
  await createLive().update(a!); // outside a notebook: nothing
});

Deno.test("htmlTable() escapes every text and aligns numbers to the right", () => {
  const { html } = htmlTable([
    { "<name>": "<script>", value: 0.123456, ok: true },
    { "<name>": "b", value: null, ok: false },
  ], { caption: "A & B" });
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
  assert.match(html, /50 more rows/);
  assert.equal(text, "Table: 250 rows");
  assert.match(htmlTable([]).html, /<tbody><\/tbody>/);
});

Deno.test("htmlTable() wraps columns of long texts alone, between words and after separators", () => {
  const { html } = htmlTable([{ score: 0.123456, short: "0123456789ab", long: "0123456789abc" }]);
  const whole = [...html.matchAll(/<td[^>]*white-space:nowrap[^>]*>([^<]*)</g)];
  assert.deepEqual(whole.map((match) => match[1]), ["0.1235", "0123456789ab"]);
  const name = htmlTable([{ name: "S_1/<b>_&/x_y.png" }]).html;
  assert.match(name, />S_<wbr>1\/&lt;b&gt;_&amp;\/<wbr>x_<wbr>y\.png</);
  const settings = htmlTable([{ settings: "learningRate\u00a00.0003" }]).html;
  assert.ok(settings.includes("learningRate\u00a0<wbr>0.0003<"));
});

Deno.test("notice() escapes its text and keeps line breaks", () => {
  assert.match(notice("a <b>", "warning").html, /a &lt;b&gt;/);
  assert.match(notice("one\ntwo").html, /white-space:pre-line.*one\ntwo/);
  assert.match(syntheticNotice().text, /synthetic/i);
});

Deno.test("escapeHtml() leaves no markup and loses nothing", () => {
  assert.equal(escapeHtml(`<b a="1">&'`), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const escaped = escapeHtml(text);
      assert.doesNotMatch(escaped, /[<>"']|&(?!(amp|lt|gt|quot|#39);)/);
      const back = escaped.replaceAll("&lt;", "<").replaceAll("&gt;", ">")
        .replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&amp;", "&");
      assert.equal(back, printable(text));
    }),
    { seed: 1, numRuns: 300 },
  );
});

Deno.test("printable() replaces what XML forbids", () => {
  assert.equal(printable("a\u0007b\ud800c\n\u00e9"), "a\ufffdb\ufffdc\n\u00e9");
});
