import type { ImageTraits } from "../../images/image_traits.ts";
import { featureDistance, type FeatureSpace } from "./feature_space.ts";
import { type Flag, FLAGS, TRAIT_RULES, TRAITS } from "./trait_flags.ts";
import { spreadsAway, type UsualRange } from "./usual_range.ts";

/** An image as it is compared with ordinary ones. */
export interface Appearance {
  traits: ImageTraits;
  /** Of the backbone: [channels]. */
  features: Float32Array;
}

/** What is unusual about an image. */
export interface Strangeness {
  /** In the order of `FLAGS`; empty: nothing. */
  flags: Flag[];
  /** 0 and more, as multiples of what is still ordinary: above 1 just where there is a flag. */
  strangeness: number;
}

/** The usual range of every measure. */
export type TraitRanges = Readonly<Record<keyof ImageTraits, UsualRange>>;

/** {@linkcode Strangeness} is judged by these. */
export interface OrdinaryImages {
  ranges: TraitRanges;
  /** How many spreads of a measure are unusual. */
  traitLimit: number;
  space: FeatureSpace;
  /** Usual range of the logarithm of `featureDistance`. */
  distances: UsualRange;
  /** How many spreads above it are unfamiliar. */
  distanceLimit: number;
}

/** How many spreads each measure lies on its unusual side; 0 on the other one. */
export function traitSpreads(traits: ImageTraits, ranges: TraitRanges): [Flag, number][] {
  return TRAITS.map((name) => {
    const { flag, side } = TRAIT_RULES[name];
    const away = spreadsAway(traits[name], ranges[name]);
    const spreads = side === "both" ? Math.abs(away) : side === "above" ? away : -away;
    return [flag, Math.max(0, spreads)];
  });
}

/** Compares an image with ordinary ones. */
export function compare(
  { traits, features }: Appearance,
  { ranges, traitLimit, space, distances, distanceLimit }: OrdinaryImages,
): Strangeness {
  const distance = Math.log(featureDistance(features, space));
  const scores: [Flag, number][] = [
    ...traitSpreads(traits, ranges)
      .map(([flag, spreads]): [Flag, number] => [flag, spreads / traitLimit]),
    ["unfamiliar", Math.max(0, spreadsAway(distance, distances)) / distanceLimit],
  ];
  const unusual = new Set(scores.filter(([, score]) => score > 1).map(([flag]) => flag));
  return {
    flags: FLAGS.filter((flag) => unusual.has(flag)),
    strangeness: Math.max(...scores.map(([, score]) => score)),
  };
}
