import { z } from "zod";

const vector = z.tuple([z.number(), z.number(), z.number()]);
const positives = z.number().positive();

/** See {@linkcode StainReference}. */
export const stainReferenceSchema = z.discriminatedUnion("method", [
  z.object({
    method: z.literal("reinhard"),
    mean: vector,
    deviation: z.tuple([positives, positives, positives]),
  }),
  z.object({
    method: z.literal("macenko"),
    stains: z.tuple([vector, vector]),
    amounts: z.tuple([positives, positives]),
  }),
]);

/** The colours that every image is brought to; they travel with the model. */
export type StainReference = z.infer<typeof stainReferenceSchema>;
