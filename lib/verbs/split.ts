import type { Run } from "../run/run.ts";
import type { SplitCertificate } from "../run/split_certificate.ts";
import {
  foldsAdvice,
  groupWarning,
  members,
  type SplitRow,
  subsetCounts,
} from "../run/split_file.ts";
import { splitChart } from "../show/data_charts.ts";
import { type Displayable, displayAll, htmlTable, notice } from "../show/display.ts";
import { splitRun, splitTable } from "../split/split.ts";

/** What notebook 03 shows of a split. */
interface SplitData {
  /** The rows of split.csv. */
  rows: SplitRow[];
  certificate: SplitCertificate;
  /**
   * Images of each class in each subset, with a warning where no patient or slide is known, or where
   * so few are in validation or test that folds would show more.
   */
  subsets: Displayable;
  /** The certificate, a row a field. */
  checks: Displayable;
}

/**
 * Splits the run's images into training, validation and test, or into folds (`split.folds`), or takes
 * the split that `split.file` names, and writes split.csv and its certificate: no patient, slide,
 * duplicate or near-duplicate is in two subsets.
 *
 * @throws {DataError} When notebook 02 has not been run, there are too few groups, or a given split
 *   cannot be used.
 */
export async function split(run: Run): Promise<SplitData> {
  const { classes } = run.config.data;
  const { rows, certificate } = await splitRun(run);
  const { fractions_requested: requested } = certificate;
  const { file, folds } = run.config.split;
  const isGiven = file !== null && folds > 0 && members(rows).length !== folds
    ? "split.folds says nothing while split.file names a split: to have folds, name them there " +
      "(fold_1, fold_2 and so on)."
    : null;
  const warning = isGiven ?? groupWarning(rows) ?? foldsAdvice(rows);
  const counts = subsetCounts(rows).flatMap(({ subset, classes: own }) =>
    Object.entries(own).map(([label, count]) => ({ subset, label, count }))
  );
  return {
    rows,
    certificate,
    subsets: displayAll(
      warning === null ? null : notice(warning, "warning"),
      splitChart({ rows: counts, requested: requested ?? {}, classes, run: run.name }),
      htmlTable(splitTable(rows, requested), {
        caption: "Images of each class and their share in the subset; in the last row, in all",
      }),
    ),
    checks: htmlTable(
      Object.entries(certificate).map(([field, value]) => ({
        field,
        value: Array.isArray(value) && value.length === 0 ? "none" : value,
      })),
    ),
  };
}
