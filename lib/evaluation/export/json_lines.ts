import { writeAll, writeAtomicWith } from "../../files.ts";
import type { EvaluatedImage } from "../judge.ts";
import { DETAILS_COLUMNS } from "../write_evaluation.ts";

/** Rows that are turned into text at a time. */
const ROWS_AT_A_TIME = 1000;

/**
 * Writes the columns of evaluation_details.csv as JSON Lines, one object a line, atomically. Names
 * are as they are on disk: nothing is escaped for spreadsheets.
 */
export async function writeJsonLines(
  path: string,
  images: AsyncIterable<EvaluatedImage>,
): Promise<void> {
  const encoder = new TextEncoder();
  await writeAtomicWith(path, async (file) => {
    let lines: string[] = [];
    const write = async () => {
      await writeAll(file, encoder.encode(lines.join("")));
      lines = [];
    };
    for await (const image of images) {
      lines.push(JSON.stringify(image, [...DETAILS_COLUMNS]) + "\n");
      if (lines.length === ROWS_AT_A_TIME) await write();
    }
    await write();
  });
}
