import assert from "node:assert/strict";
import { parseConfig } from "../../lib/core/config.ts";
import { scanDataset } from "../../lib/data/scan.ts";
import { areThere, realCrops } from "../real_crops.ts";

Deno.test({
  name: "scanDataset() finds nothing among 484 real crops, the softer sclerotic ones included",
  ignore: !areThere,
  fn: async () => {
    const { rows, findings } = await scanDataset(realCrops, parseConfig({}).data);
    assert.equal(rows.length, 484);
    assert.deepEqual(findings, []);
  },
});
