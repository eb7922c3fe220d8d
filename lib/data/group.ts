import { DataError } from "../errors.ts";
import { listLines } from "../list_lines.ts";

/**
 * The group (patient or slide) of an image.
 *
 * @param path Relative to the data folder, `/` separators.
 * @param pattern Regular expression with one capturing group, or `null`: every image by itself.
 * @returns What the group captured; the path itself without a pattern; `null` when the pattern does
 *   not match or captures nothing.
 * @example
 * ```ts
 * groupOf("globally_sclerotic/S12-7.png", "([^/]+)-[^-]+\\.png$"); // "S12"
 * ```
 */
export function groupOf(path: string, pattern: string | null): string | null {
  if (pattern === null) return path;
  return new RegExp(pattern).exec(path)?.[1] || null;
}

/**
 * The groups of all images, in their order: those given, and for the others what the pattern finds.
 *
 * @param given Groups from labels.csv, `null` where there is none.
 * @throws {DataError} When the pattern fails on any: an image of unknown origin could leak into
 *   another subset.
 */
export function groupsOf(
  paths: readonly string[],
  pattern: string | null,
  given: readonly (string | null)[] = [],
): string[] {
  const someGiven = given.some((group) => group !== null);
  const groups = paths.map((path, i) =>
    given[i] ?? (someGiven && pattern === null ? null : groupOf(path, pattern))
  );
  const unmatched = paths.filter((_, i) => groups[i] === null);
  if (unmatched.length > 0) {
    throw new DataError(
      (pattern === null
        ? `labels.csv gives no group to ${unmatched.length} of ${paths.length} images:`
        : `data.groupPattern ${pattern} finds no group in ${unmatched.length} of ` +
          `${paths.length} image paths:`) +
        listLines(unmatched.map((path) => JSON.stringify(path))),
      someGiven
        ? "Give every image a group in labels.csv, or set data.groupPattern for the others."
        : "Correct the pattern or rename the files. With data.groupPattern: null every image is " +
          "its own group.",
    );
  }
  return groups as string[];
}
