import { wilson } from "../metrics/wilson.ts";

/** A share of some images. */
export interface Share {
  /** 0 to 1. */
  share: number;
  /** How many images it is a share of; at least one. */
  of: number;
}

/**
 * 95 % interval of the difference `a − b` of two independent shares: Newcombe's hybrid of two Wilson
 * intervals (Statistics in Medicine 17, 1998, method 10).
 */
export function newcombe(a: Share, b: Share): { low: number; high: number } {
  const [ofA, ofB] = [a, b].map(({ share, of }) => wilson(Math.round(share * of), of));
  const difference = a.share - b.share;
  return {
    low: difference - Math.hypot(a.share - ofA!.low, ofB!.high - b.share),
    high: difference + Math.hypot(ofA!.high - a.share, b.share - ofB!.low),
  };
}
