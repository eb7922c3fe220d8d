import assert from "node:assert/strict";
import type { HistoryRow } from "../../lib/run/history.ts";
import { outcomeNotices } from "../../lib/show/notices.ts";

const texts = (change: Partial<Parameters<typeof outcomeNotices>[0]>) =>
  outcomeNotices({
    history: Array(4) as HistoryRow[],
    resumedFrom: 0,
    interrupted: false,
    cacheProblem: null,
    startingWeights: { kind: "imagenet", note: "ImageNet", sha256: null },
    ...change,
  }).map(({ text }) => text);

Deno.test("outcomeNotices() says where the training started, and nothing else of an ordinary one", () => {
  assert.deepEqual(texts({}), ["Started from: ImageNet."]);
});

Deno.test("outcomeNotices() says what was stopped, continued, left to do and not kept", () => {
  assert.match(texts({ interrupted: true })[0]!, /Stopped as you asked, after epoch 4/);
  assert.match(texts({ interrupted: true, history: [] })[0]!, /before there was a model/);
  assert.match(texts({ resumedFrom: 4 })[0]!, /nothing was left to do/);
  assert.match(texts({ resumedFrom: 3 })[0]!, /continued after its epoch 3/);
  const both = texts({ interrupted: true, resumedFrom: 3, cacheProblem: "the disk takes no more" });
  assert.equal(both.length, 4);
  assert.match(both[2]!, /because the disk takes no more\./);
});
