import assert from "node:assert/strict";
import fc from "fast-check";
import { type Content, type Html, html } from "../../../lib/show/report_page.ts";

Deno.test("html`` escapes texts wherever they are, and leaves its own markup as it is", () => {
  const inner = html`<b title="${`"'`}">${"<&>"}</b>`;
  assert.equal(
    html`<p>${inner} ${3}${["a<", [inner]]}</p>`.markup,
    '<p><b title="&quot;&#39;">&lt;&amp;&gt;</b> 3a&lt;' +
      '<b title="&quot;&#39;">&lt;&amp;&gt;</b></p>',
  );
});

Deno.test("html`` lets no text become markup", () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom(...`<>&"'/ a\0\ud800`) }), (text) => {
    const { markup } = html`<p title="${text}">${text}</p>`;
    assert.match(markup, /^<p title="[^<>"']*">[^<>"']*<\/p>$/);
  }));
});

Deno.test("html`` takes no object for markup that was not made by it", () => {
  const forged = { markup: "<script>" } as unknown as Html;
  assert.throws(() => html`<p>${forged}</p>`, TypeError);
  assert.throws(() => html`<p>${JSON.parse("null") as Content}</p>`, TypeError);
});
