import { z } from "zod";
import {
  ATTENTIONS,
  BACKBONES,
  DEFAULT_HEAD,
  headSchema,
  isGroupPattern,
  RESIZES,
} from "../core/settings.ts";
import { decisionSchema } from "./decision.ts";

/**
 * Stains whose vectors span less than this (the sine of their angle) cannot be told apart: it may be
 * the noise of one colour. Those of glomeruli in PAS span 0.25 and more.
 */
export const LEAST_SPAN = 0.15;

const vector = z.tuple([z.number(), z.number(), z.number()]);

const hash = z.string().regex(/^[0-9a-f]{64}$/);

const lab = z.number().min(-5).max(5);

/** No image of 8 bits has a deviation in lαβ, or an amount of a separable stain, beyond these. */
const deviation = z.number().positive().max(5);

export const stain = vector.refine((v) => Math.abs(Math.hypot(...v) - 1) < 1e-6, {
  error: "must be of length 1",
});

const amount = z.number().positive().max(1000);

/** See {@linkcode StainReference}. What would make plain white or black of every image is refused. */
export const stainReferenceSchema = z.discriminatedUnion("method", [
  z.object({
    method: z.literal("reinhard"),
    mean: z.tuple([lab, lab, lab]),
    deviation: z.tuple([deviation, deviation, deviation]),
  }),
  z.object({
    method: z.literal("macenko"),
    stains: z.tuple([stain, stain]).refine(canBeToldApart, { error: "must be two stains" }),
    amounts: z.tuple([amount, amount]),
  }),
]);

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
    /** Missing where a version saved the model that knew the default head only. */
    head: headSchema.optional(),
    /** Of a model of folds: networks that share the frozen layers. */
    ensemble: z.object({ members: z.int().min(2).max(100), frozenLayers: z.int().min(0) })
      .optional(),
    /** Missing where a version saved the model that knew none. */
    attention: z.enum(ATTENTIONS).optional(),
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
    /** With folds: how many; every image is then in `train`, `validation` and `test` in turn. */
    folds: z.int().min(3).optional(),
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
 * What must travel with a model for its predictions to mean anything: part of model.json;
 * model_card.json is a copy for people.
 */
export type ModelCard = z.infer<typeof modelCardSchema>;

/** The colours that every image is brought to; they travel with the model. */
export type StainReference = z.infer<typeof stainReferenceSchema>;

/** Two directions of length 1: the sine of the angle between them. */
function canBeToldApart([a, b]: readonly [readonly number[], readonly number[]]): boolean {
  const cosine = a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  return Math.sqrt(Math.max(0, 1 - cosine ** 2)) > LEAST_SPAN;
}

/** The members of a model of folds in words; `null`: it is a single model. */
export function describeMembers({ ensemble }: ModelCard["architecture"]): string | null {
  return ensemble
    ? `${ensemble.members} with the same frozen layers, one a fold; the prediction is the mean of ` +
      "their log odds"
    : null;
}

/** The head of a model in words: "a head of dense layers of 512 and 256 units". */
export function describeHead(
  { head: { units } = DEFAULT_HEAD, attention = "none" }: ModelCard["architecture"],
): string {
  const before = {
    none: "",
    se: "squeeze-and-excitation and ",
    cbam: "convolutional block attention and ",
  }[attention];
  if (units.length === 0) return `${before}a head without hidden layers`;
  const layers = units.length === 1 ? "a dense layer" : "dense layers";
  return `${before}a head of ${layers} of ${units.join(" and ")} units`;
}
