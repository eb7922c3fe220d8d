import type { ExplainedReview } from "../evaluation/explain_review.ts";
import { images } from "../in_words.ts";
import { card } from "./card.ts";
import { explanationRows, explanationTile, MAPS_DIFFER } from "./explanation_tile.ts";
import type { Figure } from "./figure.ts";
import type { Panel } from "./panel.ts";
import { classLabel } from "./theme.ts";

/**
 * The images that need a person's look most, each beside itself with the evidence for the model's
 * answer laid over it, and with its flags. Pictures are as the model saw them.
 *
 * @param examples From `explainReview`, in the order of the queue.
 * @param options `positive`: folder name of the class whose probability is given. `of`: how many
 * images are to be reviewed.
 */
export async function reviewGrid(
  examples: readonly ExplainedReview[],
  { run, positive, of }: { run: string; positive: string; of: number },
): Promise<Figure> {
  const tiles = await Promise.all(examples.map(tile));
  return card({
    title: "To be looked at first",
    subtitle: `Run ${run} · ${examples.length} of n = ${images(of)} to be reviewed`,
    rows: explanationRows(tiles),
    note: tiles.length === 0
      ? "No image needs a review."
      : `p: probability of “${classLabel(positive)}”. ${MAPS_DIFFER}`,
  });
}

async function tile(example: ExplainedReview): Promise<Panel> {
  const { name, predicted, probability, flags, image } = example;
  const evidence = image.map.isZero ? " · no evidence for it found" : "";
  return await explanationTile(image, [
    name,
    `answered ${classLabel(predicted)}, p = ${probability.toFixed(3)}${evidence}`,
    flags.length === 0 ? "uncertain" : flags.map((flag) => flag.replaceAll("_", " ")).join(", "),
  ]);
}
