import { z } from "zod";
import { TRAITS } from "./trait_flags.ts";

/** Version of reference.json; a reader refuses any other. */
export const REFERENCE_FORMAT = 1;

const finite = z.number().min(-1e6).max(1e6);
const spread = z.number().min(1e-9).max(1e6);
const rangeSchema = z.object({ median: finite, below: spread, above: spread });
const limitSchema = z.number().min(0.1).max(100);

/** Channels of the widest backbone, and directions, that a reader makes room for. */
const MOST_CHANNELS = 4096;
const MOST_DIRECTIONS = 64;

/** See {@linkcode Reference}. */
export const referenceSchema = z.object({
  format: z.literal(REFERENCE_FORMAT),
  weightsSha256: z.string().regex(/^[0-9a-f]{64}$/),
  share: z.number().gt(0).lt(1),
  chance: z.number().gt(0).max(1),
  images: z.object({ train: z.int().positive(), validation: z.int().positive() }),
  flagged: z.int().min(0),
  traits: z.object({
    ranges: z.record(z.enum(TRAITS), rangeSchema),
    limit: limitSchema,
  }),
  features: z.object({
    channels: z.int().min(1).max(MOST_CHANNELS),
    mean: z.string(),
    directions: z.string(),
    variances: z.array(z.number().positive().max(1e6)).min(1).max(MOST_DIRECTIONS),
    rest: z.number().positive().max(1e6),
    distances: rangeSchema,
    limit: limitSchema,
  }),
});

/**
 * What ordinary images of a model look like: reference.json in the model folder.
 *
 * - `weightsSha256`: of the weights whose features these are; of no others do they mean anything.
 * - `share`: of ordinary images that were to be flagged; `chance`: the share that can be vouched for
 *   from so few validation images.
 * - `images`: how many it was fitted on; `flagged`: how many of the validation images are.
 * - `traits`: the usual range of each measure in training, and how many spreads from the median are
 *   unusual.
 * - `features`: see `FeatureSpace`, 16-bit floats in base64; `distances`: the usual range of
 *   the logarithm of the distance on validation, and how many spreads above it are unfamiliar.
 */
export type Reference = z.infer<typeof referenceSchema>;
