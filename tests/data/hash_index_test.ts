import assert from "node:assert/strict";
import fc from "fast-check";
import { createHashIndex } from "../../lib/data/duplicates.ts";

const hex = (hash: bigint) => hash.toString(16).padStart(16, "0");

const bitsOf = (hash: bigint) => hash.toString(2).replaceAll("0", "").length;

Deno.test("createHashIndex() finds what comparing with every hash finds", () => {
  const hash = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const flips = fc.array(fc.nat(63), { maxLength: 10 });
  fc.assert(
    fc.property(
      hash,
      fc.array(fc.tuple(flips, fc.option(hash)), { maxLength: 40 }),
      (base, all) => {
        const hashes = all.map(([bits, other]) =>
          bits.reduce((value, bit) => value ^ 1n << BigInt(bit), other ?? base)
        );
        const index = createHashIndex(hashes.length);
        for (const value of hashes) index.add(hex(value));
        const near = [...hashes.keys()].filter((i) => bitsOf(hashes[i]! ^ base) <= 7);
        assert.deepEqual(index.near(hex(base)), near);
      },
    ),
    { seed: 3, numRuns: 300 },
  );
});
