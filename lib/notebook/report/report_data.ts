import type { Config } from "../../config_schema.ts";
import type { Finding } from "../../data/findings.ts";
import type { ManifestRow } from "../../data/manifest.ts";
import type { MapCheck } from "../../metrics/explain/check_maps.ts";
import type { Metrics } from "../../metrics/read_metrics.ts";
import type { TestPrediction } from "../../metrics/test_run.ts";
import type { ModelCard } from "../../model/model_card.ts";
import type { SplitCertificate } from "../../split/certificate.ts";
import type { SplitRow } from "../../split/split.ts";
import type { HistoryRow, TrainingEvent } from "../../training/history.ts";
import type { Picture } from "./parts.ts";

/** A test prediction as predictions_test.csv and split.csv have it. */
export type ReportedPrediction = Omit<TestPrediction, "uncalibrated">;

/** A small picture of a test or training image. */
export interface Example {
  path: string;
  /** `null`: the image cannot be read any more. */
  picture: Picture | null;
}

/** The test of the run's model: its scores and answers belong together. */
export interface ReportedTest extends Metrics {
  predictions: ReportedPrediction[];
}

/** What section 7 found in a folder of new images. */
export interface ReportedEvaluation {
  classified: number;
  unreadable: number;
  /** Left for a person to look at. */
  review: number;
  classes: { name: string; images: number }[];
  /** What was found out about the share of the classes, in words; `null`: nothing was. */
  shareText: string | null;
}

/** The files of a run by what they say. What is `null` is not there yet, or cannot be used. */
export interface RunFiles {
  config: Config | null;
  manifest: ManifestRow[] | null;
  findings: Finding[] | null;
  split: SplitRow[] | null;
  /** SHA-256 of split.csv. */
  splitSha256: string | null;
  certificate: SplitCertificate | null;
  history: HistoryRow[] | null;
  events: TrainingEvent[] | null;
  card: ModelCard | null;
  metrics: Metrics | null;
  predictions: Omit<ReportedPrediction, "group">[] | null;
  mapCheck: MapCheck | null;
  evaluation: (ReportedEvaluation & { weightsSha256: string | null }) | null;
}

/** Everything that a report shows; a pure description, without files. */
export interface ReportData {
  run: string;
  /** ISO date and time of the report. */
  made: string;
  /** Whether any image is of the synthetic sample set. */
  synthetic: boolean;
  /** Why the run stopped before its end; `null`: it did not. */
  stopped: string | null;
  /** Files that cannot be used, or do not belong to the model, and why. */
  problems: string[];
  files: Omit<RunFiles, "metrics" | "predictions" | "evaluation">;
  /** `null`: the model has not been tested. */
  test: ReportedTest | null;
  evaluation: ReportedEvaluation | null;
  /** Saved plots by name. */
  plots: ReadonlyMap<string, Picture>;
  /** A few images of each class. */
  examples: ReadonlyMap<string, Example[]>;
  /** The most confident mistakes. */
  mistakes: (Example & Pick<ReportedPrediction, "label" | "predicted" | "probability">)[];
}
