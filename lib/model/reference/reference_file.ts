import { join } from "node:path";
import { ModelError } from "../../errors.ts";
import { exists, writeJson } from "../../files.ts";
import { imageTraits } from "../../images/image_traits.ts";
import { FEATURE_LAYER } from "../head.ts";
import { inferShapes } from "../graph.ts";
import { inputShape, type Model } from "../model.ts";
import type { ModelCard } from "../model_card.ts";
import type { SeenImage } from "../predict_images.ts";
import { unpackFloats } from "./packed_floats.ts";
import { type Reference, referenceSchema } from "./reference.ts";
import { compare, type OrdinaryImages, type Strangeness } from "./strangeness.ts";

/** Its name in a model folder. */
export const REFERENCE_FILE = "reference.json";

/** That of the widest backbone takes 0.2 MB. */
const MAX_BYTES = 2_000_000;

/** Says what is unusual about an image. */
export type Flagger = (
  image: Pick<SeenImage, "original" | "features" | "width" | "height">,
) => Strangeness;

/** Writes a model's reference into its folder, atomically. */
export async function writeReference(folder: string, reference: Reference): Promise<void> {
  await writeJson(join(folder, REFERENCE_FILE), reference);
}

/**
 * Reads what ordinary images of a model look like. The file is untrusted: sizes are checked before
 * anything is allocated, and it must be of this model's weights.
 *
 * @returns `null` when there is none of these weights: notebook 06 has not been run since the training.
 * @throws {ModelError} When it is damaged or of another version.
 */
export async function readFlagger(
  folder: string,
  { graph, architecture }: Pick<Model, "graph" | "architecture">,
  card: Pick<ModelCard, "weights">,
): Promise<Flagger | null> {
  const path = join(folder, REFERENCE_FILE);
  if (!await exists(path)) return null;
  const remedy = "Run notebook 06 again; it writes this file.";
  const refuse = (what: string, cause?: unknown): never => {
    throw new ModelError(`${path} ${what}`, remedy, { cause });
  };
  const { size, isFile } = await Deno.stat(path);
  if (!isFile || size > MAX_BYTES) refuse("is far too large to be what it should be.");
  let json: unknown;
  try {
    json = JSON.parse(await Deno.readTextFile(path));
  } catch (cause) {
    refuse("is damaged: it is not JSON.", cause);
  }
  const parsed = referenceSchema.safeParse(json);
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    return refuse(`was not written by this version (${field.join(".")}: ${message}).`);
  }
  const reference = parsed.data;
  if (reference.weightsSha256 !== card.weights.sha256) return null; // of an earlier training
  const channels = inferShapes(graph, inputShape(architecture)).get(FEATURE_LAYER)!.at(-1)!;
  const ordinary = unpack(reference, channels) ?? refuse("does not hold this model's features.");
  return createFlagger(ordinary, architecture.imageSize);
}

function unpack({ traits, features }: Reference, channels: number): OrdinaryImages | null {
  if (features.channels !== channels) return null;
  const mean = unpackFloats(features.mean, channels);
  const directions = unpackFloats(features.directions, channels * features.variances.length);
  return mean && directions && {
    ranges: traits.ranges,
    traitLimit: traits.limit,
    space: { mean, directions, variances: features.variances, rest: features.rest },
    distances: features.distances,
    distanceLimit: features.limit,
  };
}

/** @param size Side of the model's input, in pixels. */
function createFlagger(ordinary: OrdinaryImages, size: number): Flagger {
  return ({ original, features, width, height }) =>
    compare({ traits: imageTraits(original, size, { width, height }), features }, ordinary);
}
