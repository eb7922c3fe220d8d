import { binProbability, BINS } from "./log_odds_bins.ts";
import type { ScoreUnit } from "./score_summary.ts";

/** Bins of all units, without those that hold no image. */
export interface OccupiedBins {
  /** Probability of each bin, rising. */
  probabilities: Float64Array;
  /** Images in each bin. */
  counts: Float64Array;
  /** For each unit the places of its bins in `counts`, and the images in each. */
  units: { places: Uint16Array; counts: Uint32Array }[];
}

/** Leaves out what holds no image: models that are sure of themselves fill few bins. */
export function occupiedBins(units: readonly ScoreUnit[]): OccupiedBins {
  const totals = new Float64Array(BINS);
  for (const { bins } of units) bins.forEach((count, bin) => totals[bin]! += count);
  const occupied = [...totals.keys()].filter((bin) => totals[bin]! > 0);
  return {
    probabilities: Float64Array.from(occupied, binProbability),
    counts: Float64Array.from(occupied, (bin) => totals[bin]!),
    units: units.map(({ bins }) => {
      const places = [...occupied.keys()].filter((place) => bins[occupied[place]!]! > 0);
      return {
        places: Uint16Array.from(places),
        counts: Uint32Array.from(places, (place) => bins[occupied[place]!]!),
      };
    }),
  };
}
