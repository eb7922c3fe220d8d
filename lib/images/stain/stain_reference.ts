import { z } from "zod";
import { LEAST_SPAN } from "./macenko.ts";
import { cross, type Vector3 } from "./matrix3.ts";

const vector = z.tuple([z.number(), z.number(), z.number()]);
/** No image of 8 bits has a deviation in lαβ, or an amount of a separable stain, beyond these. */
const deviation = z.number().positive().max(5);
const amount = z.number().positive().max(1000);
const lab = z.number().min(-5).max(5);
const stain = vector.refine((v) => Math.abs(Math.hypot(...v) - 1) < 1e-6, {
  error: "must be of length 1",
});

/**
 * See {@linkcode StainReference}. What would make plain white or black of every image is refused:
 * numbers that are not finite or out of range, stains that are none or twice the same.
 */
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

/** The colours that every image is brought to; they travel with the model. */
export type StainReference = z.infer<typeof stainReferenceSchema>;

function canBeToldApart([a, b]: readonly [Vector3, Vector3]): boolean {
  return Math.hypot(...cross(a, b)) > LEAST_SPAN;
}
