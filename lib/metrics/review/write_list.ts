import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { exists, sha256File, sha256Of, writeAtomic } from "../../files.ts";

/** A list for review as it was written: another SHA-256 now is a person's work. */
export const writtenListSchema = z.object({ file: z.string(), sha256: z.string() });

/** See {@linkcode writtenListSchema}. */
export type WrittenList = z.infer<typeof writtenListSchema>;

/**
 * Writes a list for review as NAME.csv, or as the first of NAME_2.csv, NAME_3.csv and so on that is
 * free or still holds what was written there: a person's edits are never overwritten.
 *
 * @param path Absolute, of NAME.csv.
 * @param before The lists written so far.
 * @returns The file's name, the names of those that a person has edited, and all lists written.
 */
export async function writeList(
  path: string,
  text: string,
  before: readonly WrittenList[],
): Promise<{ file: string; edited: string[]; written: WrittenList[] }> {
  const stem = basename(path).replace(/\.csv$/i, "");
  const sha256 = await sha256Of(new TextEncoder().encode(text));
  const edited: string[] = [];
  for (let number = 1;; number++) {
    const file = number === 1 ? basename(path) : `${stem}_${number}.csv`;
    const place = join(dirname(path), file);
    const own = [sha256, before.find((list) => list.file === file)?.sha256];
    if (await exists(place) && !own.includes(await sha256File(place))) {
      edited.push(file);
      continue;
    }
    await writeAtomic(place, text);
    return { file, edited, written: [...before.filter((l) => l.file !== file), { file, sha256 }] };
  }
}
