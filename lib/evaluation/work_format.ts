import { createHash } from "node:crypto";
import { z } from "zod";
import { type Flag, FLAGS } from "../model/reference/trait_flags.ts";

/** The model's answer for an image, before it is calibrated or judged. */
export interface ClassifiedImage {
  /** One a class, in the model's order, just as the model gave them (32-bit floats). */
  probabilities: number[];
  /** In pixels, as displayed. */
  width: number;
  /** In pixels, as displayed. */
  height: number;
  /** What is unusual about the image; empty: nothing, or it is not known what is usual. */
  flags: readonly Flag[];
}

/** Why an image has no answer. */
export interface UnclassifiedImage {
  error: string;
  /** The file could not be reached, as opposed to understood: another try may do better. */
  retry: boolean;
}

/** What became of an image. */
export type StoredImage = ClassifiedImage | UnclassifiedImage;

/** The images of a batch, as a work file keeps them. */
export interface StoredBatch {
  /** Number of the batch in the whole folder, from 0. */
  batch: number;
  images: StoredImage[];
}

/** Format of work files; any other is begun anew. */
const WORK_FORMAT = 2;

const identitySchema = z.object({
  format: z.literal(WORK_FORMAT),
  listing: z.string(),
  images: z.int().positive(),
  model: z.string(),
  shard: z.object({ index: z.int().positive(), count: z.int().positive() }),
});

/**
 * What a work file holds results of, its first line: `listing` tells the folder's files, `images`
 * how many they are, `model` what computed the answers, `shard` which part of the folder it is.
 */
export type WorkIdentity = Omit<z.infer<typeof identitySchema>, "format">;

/** A line of a work file: the beginning of its SHA-256, then JSON. A torn or altered line shows. */
export function workLine(value: unknown): string {
  const json = JSON.stringify(value);
  return `${check(json)} ${json}\n`;
}

/** The first line of a work file. */
export function identityLine(identity: WorkIdentity): string {
  return workLine({ format: WORK_FORMAT, ...identity });
}

/** A line of a work file: its batch. An image takes about 60 bytes. */
export function batchLine({ batch, images }: StoredBatch): string {
  return workLine([
    batch,
    images.map((image) =>
      "error" in image
        ? [image.error, image.retry]
        : [image.width, image.height, image.flags.join(" "), ...image.probabilities]
    ),
  ]);
}

/** The value of a line, or `undefined` when it is not whole. */
function lineValue(line: string): unknown {
  const json = line.slice(CHECK_LENGTH + 1);
  return line.slice(0, CHECK_LENGTH) === check(json) ? JSON.parse(json) : undefined;
}

/** The identity that a first line holds, or `null` when it holds none. */
export function parseIdentity(line: string): WorkIdentity | null {
  const parsed = identitySchema.safeParse(lineValue(line));
  if (!parsed.success) return null;
  const { format: _, ...identity } = parsed.data;
  return identity;
}

/** The batch that a line holds, or `null` when it is not whole. */
export function parseBatch(line: string): StoredBatch | null {
  const value = lineValue(line) as
    | [number, ([string, boolean] | [number, number, string, ...number[]])[]]
    | undefined;
  if (value === undefined) return null;
  const [batch, images] = value;
  return {
    batch,
    images: images.map((cells) => {
      if (typeof cells[0] === "string") return { error: cells[0], retry: cells[1] as boolean };
      const [width, height, flags, ...probabilities] = cells as [
        number,
        number,
        string,
        ...number[],
      ];
      return { width, height, flags: FLAGS.filter((flag) => flags.includes(flag)), probabilities };
    }),
  };
}

/** Hexadecimal digits that guard a line. */
const CHECK_LENGTH = 16;

function check(json: string): string {
  return createHash("sha256").update(json).digest("hex").slice(0, CHECK_LENGTH);
}
