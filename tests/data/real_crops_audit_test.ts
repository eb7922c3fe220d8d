import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/config.ts";
import { scanDataset } from "../../lib/data/scan_dataset.ts";
import { exists } from "../../lib/files.ts";
import { projectRoot } from "../../lib/paths.ts";

const crops = join(projectRoot, "..", "shared", "glomeruli");
const areThere = await exists(crops);
if (!areThere) console.log(`Skipped where it is absent: real crops in ${crops}`);

Deno.test({
  name: "scanDataset() finds nothing among 484 real crops, the softer sclerotic ones included",
  ignore: !areThere,
  fn: async () => {
    const { rows, findings } = await scanDataset(crops, parseConfig({}).data);
    assert.equal(rows.length, 484);
    assert.deepEqual(findings, []);
  },
});
