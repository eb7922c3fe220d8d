import { ConfigError } from "../errors.ts";

/** A part of an evaluation: number `index` of `count`, from 1. The whole is 1 of 1. */
export interface Shard {
  index: number;
  count: number;
}

/** More parts than anyone has machines. */
const MOST = 10_000;

/**
 * Reads "2/5": part 2 of 5.
 *
 * @throws {ConfigError} When it is anything else.
 */
export function parseShard(text: string): Shard {
  const [, index, count] = /^(\d{1,5})\/(\d{1,5})$/.exec(text)?.map(Number) ?? [];
  if (!index || !count || index > count || count > MOST) {
    throw new ConfigError(
      `--shard ${text}: a part and the number of parts are needed.`,
      `Write it as --shard 1/4, 2/4, 3/4 and 4/4; at most ${MOST} parts.`,
    );
  }
  return { index, count };
}

/**
 * The batches of a part: of 3 parts the first has the batches 0, 3, 6 …, so that each has its share
 * of every slide and they take about the same time. A batch is never divided: its images are
 * computed together, whoever does it, and the last digits of a probability are the same.
 *
 * @param batches Of the whole folder.
 * @returns Batch numbers, from 0, ascending.
 */
export function shardBatches(batches: number, { index, count }: Shard): number[] {
  const first = index - 1;
  const length = Math.max(0, Math.ceil((batches - first) / count));
  return Array.from({ length }, (_, i) => first + i * count);
}
