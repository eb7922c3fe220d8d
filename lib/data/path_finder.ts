import { posix } from "node:path";

/**
 * Finds the path that a person meant, who writes with `\` or `/`, perhaps with a leading `./`, and
 * on a system that may store accents otherwise (macOS decomposes them: NFD) than the one that
 * stored the file.
 *
 * @param paths Those that there are, with `/` separators; all others are not found, so that nothing
 *   leads out of their folder.
 * @returns A function that gives the one of `paths` that is meant, spelt as it is there; `null` when
 *   there is none, or when several differ by their accents' form alone and none is written exactly.
 * @example
 * ```ts
 * pathFinder(["non/a.png"])(".\\non\\a.png"); // "non/a.png"
 * ```
 */
export function pathFinder(paths: Iterable<string>): (written: string) => string | null {
  const exact = new Set(paths);
  const composed = Map.groupBy(exact, (path) => path.normalize("NFC"));
  return (written) => {
    if (exact.has(written)) return written; // on Linux a name may hold a backslash
    const path = posix.normalize(written.replaceAll("\\", "/"));
    if (exact.has(path)) return path;
    const [first, ...others] = composed.get(path.normalize("NFC")) ?? [];
    return first !== undefined && others.length === 0 ? first : null;
  };
}
