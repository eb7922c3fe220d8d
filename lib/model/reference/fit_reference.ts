import { featureDistance, fitFeatureSpace } from "./feature_space.ts";
import { packFloats } from "./packed_floats.ts";
import { type Reference, REFERENCE_FORMAT } from "./reference.ts";
import { type Appearance, compare, traitSpreads } from "./strangeness.ts";
import { TRAIT_RULES, TRAITS } from "./trait_flags.ts";
import { conformalLimit, usualRange } from "./usual_range.ts";

/** With fewer images there is no telling what is usual. */
const LEAST_TRAINING = 20;
const LEAST_VALIDATION = 10;

/**
 * Spreads within which nothing is unusual, and beyond which everything is. The former keep quiet where all
 * images are nearly alike; the latter hold where outliers are among the validation images themselves.
 */
const TRAIT_LIMITS = { least: 4, most: 8 };
const DISTANCE_LIMITS = { least: 2, most: 8 };

/** Least spread of the logarithm of a distance. */
const LEAST_DISTANCE_SPREAD = 0.02;

/** What a reference is fitted to. */
export interface ReferenceSample {
  /** Say what is usual. */
  train: readonly Appearance[];
  /** Say how far from it is unusual: of other patients, and never learnt. */
  validation: readonly Appearance[];
}

/**
 * Fits what ordinary images look like. Half of the share of ordinary images that may be flagged is for
 * the measures together, half for the distance in feature space.
 *
 * @param options `share`: 0 to 1. `weightsSha256`: of the model that gave the features.
 * @returns `null` with fewer than 20 training or 10 validation images.
 */
export function fitReference(
  { train, validation }: ReferenceSample,
  { share, weightsSha256 }: { share: number; weightsSha256: string },
): Reference | null {
  if (train.length < LEAST_TRAINING || validation.length < LEAST_VALIDATION) return null;
  const ranges = Object.fromEntries(TRAITS.map((name) => [
    name,
    usualRange(train.map(({ traits }) => traits[name]), TRAIT_RULES[name].least),
  ])) as Reference["traits"]["ranges"];
  const space = fitFeatureSpace(train.map(({ features }) => features));
  const logs = validation.map(({ features }) => Math.log(featureDistance(features, space)));
  const distances = usualRange(logs, LEAST_DISTANCE_SPREAD);
  const byTraits = limitOf(
    validation.map(({ traits }) =>
      Math.max(...traitSpreads(traits, ranges).map(([, spreads]) => spreads))
    ),
    share / 2,
    TRAIT_LIMITS,
  );
  const byDistance = limitOf(
    logs.map((log) => (log - distances.median) / distances.above),
    share / 2,
    DISTANCE_LIMITS,
  );
  const ordinary = {
    ranges,
    traitLimit: byTraits.limit,
    space,
    distances,
    distanceLimit: byDistance.limit,
  };
  return {
    format: REFERENCE_FORMAT,
    weightsSha256,
    share,
    chance: byTraits.chance + byDistance.chance,
    images: { train: train.length, validation: validation.length },
    flagged: validation.filter((image) => compare(image, ordinary).flags.length > 0).length,
    traits: { ranges, limit: byTraits.limit },
    features: {
      channels: space.mean.length,
      mean: packFloats(space.mean),
      directions: packFloats(space.directions),
      variances: space.variances,
      rest: space.rest,
      distances,
      limit: byDistance.limit,
    },
  };
}

function limitOf(
  spreads: readonly number[],
  share: number,
  { least, most }: { least: number; most: number },
): { limit: number; chance: number } {
  const { limit, chance } = conformalLimit(spreads, share);
  return { limit: Math.min(most, Math.max(least, limit)), chance };
}
