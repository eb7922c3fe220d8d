import { fromRoot } from "../paths.ts";
import { isSynthetic } from "../setup/sample_set.ts";
import { syntheticNotice } from "./notice.ts";
import { show } from "./show.ts";

/**
 * Says that what follows rests on synthetic images, where one of the folders is the sample set.
 *
 * @param folders As in the config: relative ones are meant from the project.
 */
export async function showSyntheticNotice(...folders: string[]): Promise<void> {
  const found = await Promise.all(folders.map((folder) => isSynthetic(fromRoot(folder))));
  if (found.includes(true)) await show(syntheticNotice());
}
