import assert from "node:assert/strict";
import fc from "fast-check";
import { shorten, textWidth, wrap } from "../../lib/show/card.ts";

Deno.test("shorten() fits, and keeps what fits already", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 80 }), fc.integer({ min: 40, max: 400 }), (text, width) => {
      const short = shorten(text, width, 12);
      assert.ok(textWidth(short, 12) <= width);
      if (textWidth(text, 12) <= width) assert.equal(short, text);
    }),
    { seed: 1, numRuns: 300 },
  );
  assert.equal(shorten("non_globally_sclerotic_glomeruli", 100, 12), "non_glob…lomeruli");
});

Deno.test("wrap() keeps every word in lines that fit", () => {
  const text = "Percentages are of the images of one true class: lower right the sensitivity.";
  const lines = wrap(text, 150, 12);
  assert.equal(lines.join(" "), text);
  assert.ok(lines.length > 2 && lines.every((line) => textWidth(line, 12) <= 150));
});
