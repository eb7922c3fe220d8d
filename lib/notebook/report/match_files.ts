import { isDeepStrictEqual } from "node:util";
import { manifestHash } from "../../split/certificate.ts";
import type {
  ReportedEvaluation,
  ReportedPrediction,
  ReportedTest,
  RunFiles,
} from "./report_data.ts";

/** The parts of a run that belong to its model. */
export interface MatchedFiles {
  test: ReportedTest | null;
  evaluation: ReportedEvaluation | null;
  /** What was left out of the report, or does not agree, and what to do. */
  problems: string[];
}

/**
 * Tells which files of a run belong together. Notebooks can be run alone, so that scores of an
 * earlier model may still lie beside a new one: no report may show them as the new one's.
 */
export function matchFiles(files: RunFiles): MatchedFiles {
  const { certificate, manifest, splitSha256, card } = files;
  const problems: string[] = [];
  if (certificate && splitSha256 && certificate.split_sha256 !== splitSha256) {
    problems.push(
      "split.csv is not the split that split_certificate.json vouches for: run notebook 03.",
    );
  }
  if (certificate && manifest && certificate.manifest_sha256 !== manifestHash(manifest)) {
    problems.push("The images were scanned anew after the split was made: run notebook 03.");
  }
  if (card && splitSha256 && card.data.splitSha256 !== splitSha256) {
    problems.push("The model was trained on another split than the one here: run notebook 05.");
  }
  const predictions = ofThisSplit(files);
  const isTest = files.metrics !== null && predictions !== null && isOfThisModel(files);
  if (files.metrics && !isTest) {
    problems.push(
      "The test scores in metrics.json are of another model, threshold or split than the ones here, " +
        "and are left out: run notebook 06.",
    );
  }
  const { evaluation } = files;
  const isOther = evaluation?.weightsSha256 && card &&
    evaluation.weightsSha256 !== card.weights.sha256;
  if (isOther) {
    problems.push("evaluation.csv is of another model, and is left out: run notebook 07.");
  }
  return {
    test: isTest ? { ...files.metrics!, predictions: predictions! } : null,
    evaluation: evaluation && !isOther ? evaluation : null,
    problems,
  };
}

function isOfThisModel({ metrics, card, splitSha256 }: RunFiles): boolean {
  const reader = metrics?.reads.readers.at(-1);
  return card !== null && card.data.splitSha256 === splitSha256 && reader !== undefined &&
    reader.weights_sha256 === card.weights.sha256 &&
    reader.threshold === card.decision.threshold &&
    isDeepStrictEqual(reader.calibration, card.decision.calibration);
}

/** The predictions with their groups; `null` when they are not of just this split's test images. */
function ofThisSplit({ predictions, split }: RunFiles): ReportedPrediction[] | null {
  if (!predictions || !split) return null;
  const rows = new Map(split.filter((r) => r.subset === "test").map((row) => [row.path, row]));
  if (predictions.length !== rows.size) return null;
  const matched = predictions.flatMap((row) => {
    const own = rows.get(row.path);
    return own?.label === row.label ? [{ ...row, group: own.group }] : [];
  });
  return new Set(matched.map(({ path }) => path)).size === rows.size ? matched : null;
}
