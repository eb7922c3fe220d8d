import { basename, dirname, join } from "node:path";
import pl from "nodejs-polars";
import type { EvaluatedImage } from "../judge.ts";
import { DETAILS_COLUMNS } from "../write_evaluation.ts";
import { writeJsonLines } from "./json_lines.ts";

const NUMBERS: readonly string[] = ["probability", "confidence", "probability_uncorrected"];
const SCHEMA = Object.fromEntries(
  DETAILS_COLUMNS.map((column) => [column, NUMBERS.includes(column) ? pl.Float64 : pl.Utf8]),
);

/**
 * Writes the columns of evaluation_details.csv as Parquet, atomically. Polars streams it from JSON
 * Lines: memory holds some row groups, about 0.2 GB for a million images.
 */
export async function writeParquet(
  path: string,
  images: AsyncIterable<EvaluatedImage>,
): Promise<void> {
  const stem = join(dirname(path), `.${basename(path)}.${Deno.pid}`);
  const [lines, temporary] = [`${stem}.jsonl`, `${stem}.tmp`];
  try {
    await writeJsonLines(lines, images);
    if ((await Deno.stat(lines)).size === 0) {
      pl.DataFrame(DETAILS_COLUMNS.map((name) => pl.Series(name, [], SCHEMA[name])))
        .writeParquet(temporary);
    } else {
      await pl.scanJson(lines, { schema: SCHEMA }).sinkParquet(temporary).collect();
    }
    {
      using file = await Deno.open(temporary, { write: true });
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } finally {
    for (const left of [lines, temporary]) await Deno.remove(left).catch(() => {});
  }
}
