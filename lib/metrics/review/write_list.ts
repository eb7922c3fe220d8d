import { join } from "node:path";
import { exists, sha256File, sha256Of, writeAtomic } from "../../files.ts";
import type { ReviewRecord } from "./review_record.ts";

/**
 * Writes a list for review as review.csv, or as the first of review_2.csv, review_3.csv and so on
 * that is free or still holds what was written there: a person's edits are never overwritten.
 *
 * @param folder Absolute.
 * @param before The lists written so far.
 * @returns The file's name, the names of those that a person has edited, and all lists written.
 */
export async function writeList(
  folder: string,
  text: string,
  before: ReviewRecord["written"],
): Promise<{ file: string; edited: string[]; written: ReviewRecord["written"] }> {
  const edited: string[] = [];
  for (let number = 1;; number++) {
    const file = number === 1 ? "review.csv" : `review_${number}.csv`;
    const path = join(folder, file);
    const own = before.find((list) => list.file === file)?.sha256;
    if (await exists(path) && await sha256File(path) !== own) {
      edited.push(file);
      continue;
    }
    await writeAtomic(path, text);
    const sha256 = await sha256Of(new TextEncoder().encode(text));
    return { file, edited, written: [...before.filter((l) => l.file !== file), { file, sha256 }] };
  }
}
