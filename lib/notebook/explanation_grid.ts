import { basename } from "node:path";
import { images } from "../in_words.ts";
import type { ExampleGroup } from "../metrics/choose_examples.ts";
import type { ExplainedPrediction } from "../metrics/explain/explain_run.ts";
import { card } from "./card.ts";
import { explanationRows, explanationTile, MAPS_DIFFER } from "./explanation_tile.ts";
import type { Figure } from "./figure.ts";
import type { Panel } from "./panel.ts";
import { classLabel } from "./theme.ts";

/**
 * A group of test images, each beside itself with the evidence for the model's answer laid over it:
 * what is bright spoke for the answer. Pictures are as the model saw them.
 *
 * @param group From `explainRun`.
 * @param options `positive`: folder name of the class whose probability is given.
 */
export async function explanationGrid(
  group: ExampleGroup<ExplainedPrediction>,
  { run, positive }: { run: string; positive: string },
): Promise<Figure> {
  const { examples, of } = group;
  const tiles = await Promise.all(examples.map(tile));
  const noun = group.kind === "mistakes" ? "mistake" : "such image";
  return card({
    title: titleOf(group),
    subtitle: `Run ${run} · ${examples.length} of n = ${images(of)}`,
    rows: explanationRows(tiles),
    note: tiles.length === 0
      ? `There is no ${noun} among the test images.`
      : `p: probability of “${classLabel(positive)}”. ${MAPS_DIFFER}`,
  });
}

function titleOf({ kind, label }: ExampleGroup<unknown>): string {
  if (kind === "mistakes") return "Why: the most confident mistakes";
  if (kind === "uncertain") return "Why: the least certain of the others";
  return `Why: typical “${classLabel(label ?? "")}”, classified rightly`;
}

/** A picture, its map, and what is known of it in three lines. */
async function tile(example: ExplainedPrediction): Promise<Panel> {
  const { path, label, predicted, probability, image } = example;
  const { map, explained } = image;
  const evidence = map.isZero ? ` · no evidence for “${classLabel(explained)}” found` : "";
  return await explanationTile({ ...image, path }, [
    basename(path),
    `labelled ${classLabel(label)}`,
    `answered ${classLabel(predicted)}, p = ${probability.toFixed(3)}${evidence}`,
  ]);
}
