import { escapeFormula, writeCsv } from "../../csv.ts";
import type { EvaluatedImage } from "../judge.ts";

/**
 * Writes every class probability in a column of its own, as timm's inference script and Keras'
 * `flow_from_dataframe` have them: `filename`, then the classes in the model's order. Atomic, of
 * constant memory.
 */
export async function writeClassProbabilities(
  path: string,
  images: AsyncIterable<EvaluatedImage>,
  classes: readonly string[],
): Promise<void> {
  const columns = classes.map((name) =>
    name === "filename" ? "class filename" : escapeFormula(name)
  );
  await writeCsv(path, ["filename", ...columns], rows(images, columns));
}

async function* rows(
  images: AsyncIterable<EvaluatedImage>,
  columns: readonly string[],
): AsyncGenerator<Record<string, string | number>, void, void> {
  for await (const { name, probabilities } of images) {
    yield {
      filename: name,
      ...Object.fromEntries(columns.map((column, i) => [column, probabilities[i]!])),
    };
  }
}
