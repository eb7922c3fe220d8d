import { join } from "node:path";
import type { ImageError } from "../errors.ts";
import { answeringPredictor } from "../model/answering_predictor.ts";
import { decodeOptions } from "../model/decode_options.ts";
import type { Model } from "../model/model.ts";
import type { ModelCard } from "../model/model_card.ts";
import { seeImages, type SeenImage } from "../model/predict_images.ts";
import type { Flagger } from "../model/reference/reference_file.ts";
import type { OnProgress } from "../progress.ts";
import type { StopRequested } from "../stop.ts";
import { isFileSystemError } from "./is_file_system_error.ts";
import type { WorkFile } from "./work_file.ts";
import type { StoredImage } from "./work_format.ts";
import { BATCH_SIZE } from "./work_index.ts";

/** What {@linkcode classify} needs to know. */
export interface ClassifyOptions {
  /** Consumed: it can only be disposed afterwards. */
  model: Model;
  card: ModelCard;
  /** Says what is unusual about an image; `null`: it is not known what is usual. */
  flagger: Flagger | null;
  /** Absolute path of the new images. */
  folder: string;
  /** Paths of all images relative to the folder. */
  names: readonly string[];
  /** Batches to be computed, ascending. */
  batches: readonly number[];
  /** Images that have been classified before, and those that will have been in the end. */
  counts: { done: number; total: number };
  onProgress?: OnProgress | undefined;
}

/**
 * Classifies the images of some batches into a work file, until the end or until the person asks to
 * stop. Memory does not grow with their number.
 *
 * @returns How many images were classified.
 */
export async function classify(
  work: WorkFile,
  stopRequested: StopRequested,
  { model, card, flagger, folder, names, batches, counts, onProgress }: ClassifyOptions,
): Promise<number> {
  if (batches.length === 0) return 0;
  const predictor = answeringPredictor(model, card, { consume: true });
  const options = { ...decodeOptions(card), batchSize: BATCH_SIZE };
  let [done, turn, waiting]: [number, number, StoredImage[]] = [0, 0, []];
  try {
    // Batches are whole but for the folder's last one: seeImages groups them as they are here.
    for await (const result of seeImages(predictor, paths(folder, names, batches), options)) {
      waiting.push("error" in result ? failed(result.error) : classified(result, flagger));
      const batch = batches[turn]!;
      const position = BATCH_SIZE * batch + waiting.length;
      done += 1;
      if (waiting.length === BATCH_SIZE || position === names.length) {
        await work.append(batch, waiting);
        [turn, waiting] = [turn + 1, []];
      }
      onProgress?.(counts.done + done, counts.total, names[position - 1]!);
      if (waiting.length === 0 && stopRequested()) break;
    }
  } finally {
    predictor.dispose();
  }
  return done;
}

function* paths(
  folder: string,
  names: readonly string[],
  batches: readonly number[],
): Generator<string, void, void> {
  for (const batch of batches) {
    for (const name of names.slice(BATCH_SIZE * batch, BATCH_SIZE * (batch + 1))) {
      yield join(folder, name);
    }
  }
}

function classified(image: SeenImage, flagger: Flagger | null): StoredImage {
  const { probabilities, width, height } = image;
  return { probabilities, width, height, flags: flagger?.(image).flags ?? [] };
}

function failed({ reason, cause }: ImageError): StoredImage {
  return { error: reason, retry: isFileSystemError(cause) };
}
