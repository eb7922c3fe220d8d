import assert from "node:assert/strict";
import fc from "fast-check";
import { escapeHtml, printable } from "../../lib/show/display.ts";

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
