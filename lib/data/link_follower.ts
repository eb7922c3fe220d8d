import { realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { namesBetween } from "../names_between.ts";

/** What an entry of a folder counts as; `link`: one that is not followed. */
export type EntryKind = "file" | "folder" | "link" | "other";

/** Follows symbolic links out of a folder. */
export interface LinkFollower {
  /**
   * What a link counts as. `link`: it leads to what the folder holds and lists anyway, to a folder
   * around it (a loop), or to a device or pipe, which may have no end. One that leads nowhere counts
   * as a file: reading it tells what is wrong.
   */
  kindOf(path: string): Promise<EntryKind>;
  /** Whether a folder was not entered before, by whatever name. Remembers it. */
  enter(path: string): Promise<boolean>;
  /** Real paths of the folders that links led to. */
  readonly outside: readonly string[];
}

/**
 * Follows links so that every folder is entered once and under one name: what the folder holds
 * itself keeps its own name, and neither a loop nor many links to one place add anything.
 *
 * @param root The folder whose links are followed.
 * @param isListed Whether a file or folder of this name is listed where it lies. What is not, as in
 *   hidden folders of tools that store files by their content, is reached through links alone.
 */
export async function createLinkFollower(
  root: string,
  isListed: (name: string, kind: "file" | "folder") => boolean,
): Promise<LinkFollower> {
  // what cannot be looked at keeps its name: reading it tells what is wrong
  const real = (path: string) => realpath(path).catch(() => path);
  const home = await real(root);
  const entered = new Set<string>();
  const outside: string[] = [];
  const isListedAtHome = (target: string, kind: "file" | "folder"): boolean => {
    const way = namesBetween(home, target);
    return way !== null &&
      way.every((name, i) => isListed(name, i === way.length - 1 ? kind : "folder"));
  };
  return {
    outside,
    kindOf: async (path) => {
      const info = await stat(path).catch(() => null);
      if (info === null) return "file";
      const target = await real(path);
      const kind = info.isDirectory() ? "folder" : info.isFile() ? "file" : null;
      if (kind === null || isListedAtHome(target, kind)) return "link";
      return kind === "folder" && namesBetween(target, home) !== null ? "link" : kind;
    },
    enter: async (path) => {
      const [target, parent] = [await real(path), await real(dirname(path))];
      if (entered.has(target)) return false;
      entered.add(target);
      if (dirname(target) !== parent && target !== home) outside.push(target);
      return true;
    },
  };
}
