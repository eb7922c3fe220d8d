import { type StopRequested, throwIfStopped } from "../stop.ts";
import type { Source } from "./work_file.ts";
import type { StoredImage } from "./work_format.ts";
import { BATCH_SIZE, batchCount } from "./work_index.ts";

/** What became of the image with this name. */
export type Result = StoredImage & { name: string };

/**
 * The results that sources hold, in the order of the names; images without one are passed over.
 * Memory holds a batch.
 *
 * @param sources At most one of them has a batch.
 * @throws {StoppedError} When the person has asked to stop.
 */
export async function* readResults(
  names: readonly string[],
  sources: readonly Source[],
  stopRequested: StopRequested,
): AsyncGenerator<Result, void, void> {
  for (let batch = 0; batch < batchCount(names.length); batch++) {
    throwIfStopped(stopRequested);
    const source = sources.find((source) => source.has(batch));
    if (!source) continue;
    const images = await source.read(batch);
    for (const [i, image] of images.entries()) {
      yield { name: names[BATCH_SIZE * batch + i]!, ...image };
    }
  }
}
