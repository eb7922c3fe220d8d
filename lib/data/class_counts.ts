import type { ManifestRow } from "./manifest.ts";

/** How much there is of one class. */
export interface ClassCount {
  label: string;
  /** Usable images. */
  images: number;
  /** Share of all usable images, 0 to 1. */
  share: number;
  /** Groups with at least one image of the class. */
  groups: number;
  /** Images that are not used. */
  left_out: number;
}

/** Images and groups a class, in the order of `classes`. */
export function classCounts(
  rows: readonly ManifestRow[],
  classes: readonly string[],
): ClassCount[] {
  const total = rows.filter(({ status }) => status === "ok").length;
  return classes.map((label) => {
    const own = rows.filter((row) => row.label === label);
    const used = own.filter(({ status }) => status === "ok");
    return {
      label,
      images: used.length,
      share: total === 0 ? 0 : used.length / total,
      groups: new Set(used.map(({ group }) => group)).size,
      left_out: own.length - used.length,
    };
  });
}

/**
 * The baseline beside every accuracy: always answering the most frequent class (scikit-learn's
 * `DummyClassifier(strategy="most_frequent")`).
 *
 * @param labels Labels of the images that are scored.
 * @returns The class and its accuracy, 0 to 1; NaN for no labels. Of equally frequent classes the
 *   one that comes first.
 */
export function majorityBaseline(labels: readonly string[]): { label: string; accuracy: number } {
  let [label, most] = ["", 0];
  for (const [name, own] of Map.groupBy(labels, (name) => name)) {
    if (own.length > most) [label, most] = [name, own.length];
  }
  return { label, accuracy: most / labels.length };
}
