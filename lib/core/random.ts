type RandomState = [number, number, number, number];

/** A seeded source of random numbers: the same seed gives the same numbers on every machine. */
export interface Random {
  /** Uniform in [0, 1), 32 bits. */
  next(): number;
  /** Uniform integer in [0, limit). */
  integer(limit: number): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[];
  /** The state now, from which {@linkcode restoreRandom} goes on. */
  state(): RandomState;
}

/**
 * A random source from a seed. Different purposes take different seeds of text, so that adding one
 * draw somewhere changes nothing elsewhere.
 *
 * Generator: sfc32 (Chris Doty-Humphrey, PractRand), seeded by FNV-1a over the text.
 *
 * @example
 * ```ts
 * const order = createRandom(`${config.seed}/epoch/3`).shuffle(rows);
 * ```
 */
export function createRandom(seed: string | number): Random {
  const text = String(seed);
  const words = [0, 1, 2, 3].map((salt) => {
    let hash = 0x811c9dc5 ^ salt;
    for (let i = 0; i < text.length; i++) {
      hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    }
    return hash >>> 0;
  });
  const random = restoreRandom(words as RandomState);
  for (let i = 0; i < 16; i++) random.next(); // mixes the seed into all four words
  return random;
}

/** A random source that goes on from a saved state. */
export function restoreRandom(state: RandomState): Random {
  let [a, b, c, d] = state;
  const next = (): number => {
    const sum = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  const integer = (limit: number): number => Math.floor(next() * limit);
  return {
    next,
    integer,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    shuffle: (items) => {
      const copy = [...items];
      for (let i = copy.length - 1; i > 0; i--) {
        const j = integer(i + 1);
        [copy[i], copy[j]] = [copy[j]!, copy[i]!];
      }
      return copy;
    },
    state: () => [a >>> 0, b >>> 0, c >>> 0, d >>> 0],
  };
}
