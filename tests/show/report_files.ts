import { parseConfig } from "../../lib/core/config.ts";
import { computeScores } from "../../lib/metrics/scores.ts";
import type { ManifestRow } from "../../lib/run/manifest.ts";
import type { ModelCard } from "../../lib/run/model_card.ts";
import { certifySplit, type SplitRow, SUBSETS } from "../../lib/run/split_file.ts";
import type { ReportData, RunFiles } from "../../lib/show/report_files.ts";
import { testCard } from "../model/model_card.ts";
import { historyOf } from "../run/run_summaries.ts";

export const CLASSES = ["non_globally_sclerotic", "globally_sclerotic"];

/** The files of a run of 180 images, a fifth positive, 60 to a subset; each image its own group. */
export function runFiles(
  probabilityOf: (index: number, label: 0 | 1) => number,
  { classes = CLASSES, name = (i: number) => `${i}.png` } = {},
): RunFiles {
  const manifest = Array.from({ length: 180 }, (_, i): ManifestRow => ({
    path: `${classes[i % 5 === 0 ? 1 : 0]}/${name(i)}`,
    label: classes[i % 5 === 0 ? 1 : 0]!,
    group: `patient ${i}`,
    sha256: i.toString(16).padStart(64, "0"),
    dhash: "",
    width: 700,
    height: 730,
    channels: 4,
    format: "png",
    status: "ok",
  }));
  const split = manifest.map(({ path, label, group, sha256 }, i): SplitRow => {
    return { path, label, group, sha256, subset: SUBSETS[Math.floor(i / 60)]! };
  });
  const fractions = { train: 0.4, validation: 0.3, test: 0.3 };
  const certificate = certifySplit(split, manifest, [], { seed: 42, fractions });
  const predictions = split.filter(({ subset }) => subset === "test").map((row, i) => {
    const probability = probabilityOf(i, row.label === classes[1] ? 1 : 0);
    const predicted = classes[probability >= 0.5 ? 1 : 0]!;
    return { path: row.path, label: row.label, predicted, probability };
  });
  const draft = testCard({ backbone: "efficientnet_lite0", imageSize: 32, classes });
  const card: ModelCard = {
    ...draft,
    data: { ...draft.data, synthetic: false, splitSha256: certificate.split_sha256 },
    weights: { sha256: "a".repeat(64), parameters: 1234 },
  };
  const index = (label: string) => label === classes[1] ? 1 : 0;
  const { calibration, threshold } = card.decision;
  return {
    config: parseConfig({ data: { classes, groupPattern: "(patient \\d+)" } }),
    manifest,
    findings: [],
    split,
    splitSha256: certificate.split_sha256,
    certificate,
    history: historyOf([0.4]),
    events: [],
    card,
    metrics: {
      scores: computeScores({
        labels: predictions.map(({ label }) => index(label)),
        predicted: predictions.map(({ predicted }) => index(predicted)),
        probabilities: predictions.map(({ probability }) => probability),
        seed: 1,
      }),
      reads: {
        count: 1,
        test_sha256: "b".repeat(64),
        readers: [{ weights_sha256: card.weights.sha256, calibration, threshold, reads: 1 }],
        other_runs: [],
      },
    },
    predictions,
    mapCheck: null,
    evaluation: null,
  };
}

/** What a report is made from when no picture is there. */
export const bare: Omit<ReportData, "files" | "test" | "evaluation" | "problems"> = {
  run: "try",
  made: "2026-01-02T03:04:05.678Z",
  synthetic: false,
  stopped: null,
  plots: new Map(),
  examples: new Map(),
  mistakes: [],
};
