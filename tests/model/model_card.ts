import { type Architecture, backbones } from "../../lib/model/model.ts";
import type { CardDraft } from "../../lib/model/saved.ts";
import { DEFAULT_DECISION } from "../../lib/run/decision.ts";
import { MODEL_FORMAT, PARITY_TOLERANCE } from "../../lib/run/model_card.ts";

/** A card for a model of the tests, which was never trained. */
export function testCard(architecture: Architecture): CardDraft {
  return {
    format: MODEL_FORMAT,
    run: "test",
    created: "2026-01-02T03:04:05.678Z",
    architecture,
    preprocessing: {
      ...backbones[architecture.backbone].preprocessing,
      resize: "squash",
      stain: null,
      maxMegapixels: 100,
    },
    decision: DEFAULT_DECISION,
    startingWeights: { kind: "random", note: "for a test", sha256: null },
    frozen: { frozenLayers: 145, unfreezeLast: 30, batchNorm: "frozen" },
    data: {
      synthetic: true,
      manifestSha256: "0".repeat(64),
      splitSha256: "0".repeat(64),
      images: { train: 1, validation: 1, test: 1 },
      groupPattern: null,
    },
    training: {
      bestEpoch: 1,
      monitor: "val_loss",
      seed: 1,
      scores: { val_loss: 1, val_accuracy: 0.5, val_auc: null },
    },
    parity: { tolerance: PARITY_TOLERANCE },
    versions: {},
  };
}
