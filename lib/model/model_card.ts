import { z } from "zod";
import { BACKBONES, isGroupPattern, RESIZES } from "../config_schema.ts";
import { stainReferenceSchema } from "../images/stain/stain_reference.ts";
import { decisionSchema } from "./decision.ts";

const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** Format of the model folder; a reader refuses any other. */
export const MODEL_FORMAT = 4;

/**
 * Largest difference of a probability between this project and Python Keras with the same weights
 * and pixels. The tests hold every model to it, and `deno task parity` any one.
 */
export const PARITY_TOLERANCE = 1e-4;

/** See {@linkcode ModelCard}. */
export const modelCardSchema = z.object({
  format: z.literal(MODEL_FORMAT),
  run: z.string(),
  created: z.string(),
  architecture: z.object({
    backbone: z.enum(BACKBONES),
    imageSize: z.int().min(32).max(1024),
    classes: z.array(z.string().regex(/^[^/\\]+$/)).min(2),
  }),
  preprocessing: z.object({
    channels: z.enum(["RGB", "BGR"]),
    mean: z.tuple([z.number(), z.number(), z.number()]),
    scale: z.number().positive(),
    resize: z.enum(RESIZES),
    stain: stainReferenceSchema.nullable(),
    maxMegapixels: z.number().positive(),
  }),
  decision: decisionSchema,
  weights: z.object({ sha256: hash, parameters: z.int().positive() }),
  startingWeights: z.object({
    kind: z.enum(["imagenet", "random", "file", "model"]),
    note: z.string(),
    sha256: hash.nullable(),
  }),
  frozen: z.object({
    frozenLayers: z.int().min(0),
    unfreezeLast: z.int().min(0),
    batchNorm: z.enum(["frozen", "trained"]),
  }),
  data: z.object({
    synthetic: z.boolean(),
    manifestSha256: hash,
    splitSha256: hash,
    images: z.object({ train: z.int(), validation: z.int(), test: z.int() }),
    groupPattern: z.string().nullable().refine(isGroupPattern),
  }),
  training: z.object({
    bestEpoch: z.int().min(1),
    monitor: z.string(),
    seed: z.int(),
    scores: z.object({
      val_loss: z.number(),
      val_accuracy: z.number(),
      val_auc: z.number().nullable(),
    }),
  }),
  parity: z.object({ tolerance: z.number().positive() }),
  versions: z.record(z.string(), z.string()),
});

/**
 * What must travel with a model for its predictions to mean anything: classes, preprocessing,
 * how its probabilities become answers, what it was made from, and how it scored on validation. Part of model.json;
 * model_card.json is a copy for people.
 */
export type ModelCard = z.infer<typeof modelCardSchema>;
