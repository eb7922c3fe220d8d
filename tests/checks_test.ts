import assert from "node:assert/strict";
import { add, formatCounts, NONE, readTestCounts } from "./checks.ts";

Deno.test("readTestCounts() reads deno test's closing line; null when no test was reached", () => {
  const output = "noise\nFAILED | 2 passed (2 steps) | 1 failed | 3 ignored (67ms)\n";
  assert.deepEqual(readTestCounts(output), { passed: 2, failed: 1, skipped: 3 });
  const passed = { passed: 12, failed: 0, skipped: 0 };
  assert.deepEqual(readTestCounts("ok | 12 passed | 0 failed (1s)"), passed);
  assert.equal(readTestCounts("error: Type checking failed.\n"), null);
});

Deno.test("formatCounts() names skipped checks only where there are any", () => {
  const counts = add({ passed: 3, failed: 0, skipped: 0 }, NONE);
  assert.equal(formatCounts(counts), "3 passed, 0 failed");
  assert.equal(formatCounts({ ...counts, skipped: 2 }), "3 passed, 0 failed, 2 skipped");
});
