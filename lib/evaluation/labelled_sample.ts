import type { ScoredSample } from "../metrics/scores.ts";
import { positiveClass } from "../metrics/positive_class.ts";
import { createRandom } from "../random.ts";
import type { FolderLabel } from "./folder_labels.ts";

/** A labelled image with its answer. */
export interface LabelledAnswer {
  /** Relative to the folder of new images. */
  name: string;
  /** Class folder name. */
  predicted: string;
  /** Of the positive class, 0 to 1. */
  probability: number;
  /** Patient or slide by the model's pattern; empty: not known. */
  group: string;
}

/** Collects what a labelled folder is scored on. */
export interface LabelledSample {
  add(answer: LabelledAnswer, label: FolderLabel): void;
  /** In the order in which they were added, as far as they were kept. */
  sample(): ScoredSample;
  /** Labelled images that were added, those that were not kept included. */
  total(): number;
}

/** Images that are scored at most: accuracy is then known within 0.3 %, in three seconds. */
export const MOST_SCORED = 20_000;

interface Row {
  label: 0 | 1;
  predicted: 0 | 1;
  probability: number;
  group: string;
}

/**
 * A sample of bounded size: of more images than `most` every one has the same chance to be in it
 * (reservoir sampling, Vitter 1985, algorithm R).
 *
 * @param classes The model's; the last one is the positive class.
 */
export function createLabelledSample(
  classes: readonly string[],
  { seed, most = MOST_SCORED }: { seed: string | number; most?: number },
): LabelledSample {
  const { indexOf } = positiveClass(classes);
  const random = createRandom(`${seed}/labelled sample`);
  const kept: { turn: number; row: Row }[] = [];
  let added = 0;
  return {
    add: ({ name, predicted, probability, group }, { label, group: written }) => {
      const place = kept.length < most ? kept.length : random.integer(added + 1);
      const turn = added++;
      if (place >= most) return;
      const row: Row = {
        label: indexOf(label),
        predicted: indexOf(predicted),
        probability,
        group: written ?? (group === "" ? name : group),
      };
      kept[place] = { turn, row };
    },
    sample: () => {
      const rows = kept.toSorted((a, b) => a.turn - b.turn).map(({ row }) => row);
      return {
        labels: rows.map(({ label }) => label),
        predicted: rows.map(({ predicted }) => predicted),
        probabilities: rows.map(({ probability }) => probability),
        groups: rows.map(({ group }) => group),
        seed,
      };
    },
    total: () => added,
  };
}
