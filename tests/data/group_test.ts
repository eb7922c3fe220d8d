import assert from "node:assert/strict";
import { DataError } from "../../lib/core/errors.ts";
import { groupOf, groupsOf } from "../../lib/data/labels.ts";

const pattern = "([^/]+)-[^-]+\\.png$";

Deno.test("groupOf() takes the first capturing group, or the path without a pattern", () => {
  assert.equal(groupOf("non/SAS_1-a-07.png", pattern), "SAS_1-a");
  assert.equal(groupOf("non/SAS_1-07.png", null), "non/SAS_1-07.png");
  assert.equal(groupOf("non/other.png", pattern), null);
  assert.equal(groupOf("non/x.png", "(z)?x"), null);
});

Deno.test("groupsOf() names the first paths that have no group", () => {
  assert.deepEqual(groupsOf(["a/S1-1.png", "b/S2-1.png"], pattern), ["S1", "S2"]);
  const odd = Array.from({ length: 28 }, (_, i) => `non/odd${i}.png`);
  assert.throws(() => groupsOf(["a/S1-1.png", ...odd], pattern), (error: unknown) => {
    assert(error instanceof DataError);
    assert.match(error.message, /no group in 28 of 29 image paths/);
    assert.match(error.message, /odd0.*\n.*odd1/);
    assert.match(error.message, /and 8 more/);
    assert.doesNotMatch(error.message, /odd20/);
    return true;
  });
});
