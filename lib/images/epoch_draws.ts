import type { Config } from "../config_schema.ts";
import { createRandom } from "../random.ts";

/** An image's turn in an epoch. */
export interface Draw {
  /** Place of the image in its list. */
  index: number;
  /** How often the training has come by this image, this time included: from 1. */
  view: number;
}

/** How an epoch's images are chosen. */
export interface DrawOptions {
  seed: number;
  /** From 1. */
  epoch: number;
  /** `config.training.sampling`. */
  sampling: Config["training"]["sampling"];
}

/**
 * The images of an epoch, in order: as many as there are, the same each time for the same seed.
 *
 * `natural`: every image once, shuffled.
 *
 * `balanced`: every class equally often (to within one image), so that images of a rarer class come
 * several times. Drawn without replacement: a class's images are shuffled and dealt until all have
 * had their turn, then shuffled again, on from one epoch to the next. So all images of a class are
 * seen equally often (to within one), which a draw with replacement leaves to chance.
 *
 * @param labels Class of each image: [n].
 * @example
 * ```ts
 * epochDraws([0, 0, 0, 1], { seed: 42, epoch: 1, sampling: "balanced" }) // image 3 twice
 * ```
 */
export function epochDraws(
  labels: readonly number[],
  { seed, epoch, sampling }: DrawOptions,
): Draw[] {
  if (sampling === "natural") {
    return epochOrder(labels.length, seed, epoch).map((index) => ({ index, view: epoch }));
  }
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const draws = classes.flatMap((label, place) => {
    const members = [...labels.keys()].filter((index) => labels[index] === label);
    // what is left over by the division goes to the first classes
    const share = Math.floor((labels.length + classes.length - 1 - place) / classes.length);
    return deal(members, {
      from: (epoch - 1) * share,
      count: share,
      seed: `${seed}/balanced/${label}`,
    });
  });
  return createRandom(`${seed}/balanced/epoch/${epoch}`).shuffle(draws);
}

/**
 * The order of an epoch's images: another one each epoch, the same each time for the same seed.
 *
 * @param n Number of images.
 * @returns The integers 0 to n − 1, shuffled.
 */
function epochOrder(n: number, seed: number, epoch: number): number[] {
  return createRandom(`${seed}/epoch/${epoch}`).shuffle(Array.from({ length: n }, (_, i) => i));
}

/** The turns from `from` on in an endless sequence of shuffled rounds through the members. */
function deal(
  members: readonly number[],
  { from, count, seed }: { from: number; count: number; seed: string },
): Draw[] {
  const draws: Draw[] = [];
  for (let turn = from; turn < from + count;) {
    const round = Math.floor(turn / members.length);
    const start = turn - round * members.length;
    const dealt = createRandom(`${seed}/${round}`).shuffle(members)
      .slice(start, start + from + count - turn);
    draws.push(...dealt.map((index) => ({ index, view: round + 1 })));
    turn += dealt.length;
  }
  return draws;
}
