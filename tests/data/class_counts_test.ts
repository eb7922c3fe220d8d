import assert from "node:assert/strict";
import { classCounts, majorityBaseline } from "../../lib/data/scan.ts";
import type { ManifestRow } from "../../lib/run/manifest.ts";

const row = (label: string, group: string, status = "ok") =>
  ({ label, group, status }) as ManifestRow;

Deno.test("classCounts() counts used images, groups and what is left out", () => {
  const rows = [
    row("a", "1"),
    row("a", "1"),
    row("a", "2"),
    row("b", "2"),
    row("b", "3", "broken"),
  ];
  assert.deepEqual(classCounts(rows, ["b", "a"]), [
    { label: "b", images: 1, share: 0.25, groups: 1, left_out: 1 },
    { label: "a", images: 3, share: 0.75, groups: 2, left_out: 0 },
  ]);
});

Deno.test("majorityBaseline() is the share of the most frequent class", () => {
  const labels = [...Array(1054).fill("sclerotic"), ...Array(4704).fill("non")];
  const { label, accuracy } = majorityBaseline(labels);
  assert.equal(label, "non");
  assert(Math.abs(accuracy - 0.8169503) < 1e-7);
  assert.deepEqual(majorityBaseline(["b", "a"]), { label: "b", accuracy: 0.5 });
  assert(Number.isNaN(majorityBaseline([]).accuracy));
});
