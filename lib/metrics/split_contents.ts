import { join } from "node:path";
import type { Config } from "../config_schema.ts";
import { fromRoot } from "../paths.ts";
import type { SplitRow } from "../split/split.ts";

/** The files of some images of the split, in their order, and the SHA-256 of what each must hold. */
export function splitContents(
  rows: readonly SplitRow[],
  { data }: Pick<Config, "data">,
): Map<string, string> {
  const folder = fromRoot(data.folder);
  return new Map(rows.map(({ path, sha256 }) => [join(folder, path), sha256]));
}
