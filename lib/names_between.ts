import { relative, sep } from "node:path";

/**
 * The names on the way from a folder to what lies in it, none to itself; `null`: it lies elsewhere.
 *
 * @param folder Absolute, as is `path`; links in either are not followed.
 * @example
 * ```ts
 * namesBetween("/a", "/a/b/c"); // ["b", "c"]
 * ```
 */
export function namesBetween(folder: string, path: string): string[] | null {
  const way = relative(folder, path);
  const names = way === "" ? [] : way.split(sep);
  return names[0] === ".." || way.startsWith(sep) ? null : names;
}
