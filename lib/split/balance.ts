import type { Random } from "../random.ts";

/** What makes a subset without any image of a class worse than every imbalance. */
const EMPTY_PENALTY = 1000;
/** Smaller gains are rounding errors. */
const MIN_GAIN = 1e-9;
/**
 * Kinds of units of each subset that are tried in an exchange. Where there are more, a few hundred
 * spread over all sizes hold one that fits to the image.
 */
const MOST_KINDS = 200;

/** A way of putting units into subsets. */
export interface Assignment {
  /** Subset index of every unit. */
  subsets: number[];
  /** Sum of squared deviations from the request, in shares of each class; 0 is perfect. */
  cost: number;
}

/** What every imbalance is measured against. */
interface Request {
  /** Requested fraction of every subset, summing to 1. */
  fractions: readonly number[];
  /** Images of each class in all subsets. */
  totals: readonly number[];
}

/**
 * How far a subset is from what it should hold: the sum over classes of the squared difference from
 * the request, in shares of the class, so that a rare class weighs as much as a frequent one.
 *
 * @param held Images of each class in the subset, before `joins` come and `leaves` go.
 * @param penalty Added for every class of which the subset holds nothing.
 */
function imbalance(
  held: readonly number[],
  joins: readonly number[],
  leaves: readonly number[],
  fraction: number,
  totals: readonly number[],
  penalty: number,
): number {
  let cost = 0;
  for (let c = 0; c < totals.length; c++) { // no allocation: this is called millions of times
    const n = held[c]! + joins[c]! - leaves[c]!;
    cost += (n / totals[c]! - fraction) ** 2 + (n === 0 ? penalty : 0);
  }
  return cost;
}

/**
 * Puts units into subsets so that every subset gets its fraction of every class, as nearly as whole
 * units allow.
 *
 * One by one, in the order given, each unit goes where the sum of squared deviations stays least
 * (the greedy step of Sechidis, Tsoumakas & Vlahavas 2011 and of scikit-learn's
 * StratifiedGroupKFold). Then single moves and swaps of two units are made, the best one first,
 * until none helps. Units of the same composition are interchangeable: they are tried once a kind,
 * and of very many kinds an even selection, so that 100,000 images take seconds.
 *
 * @param counts Images a class, of every unit.
 * @param order Order in which units are placed.
 * @param fractions Requested fraction of every subset, summing to 1.
 */
export function balance(
  counts: readonly (readonly number[])[],
  order: readonly number[],
  fractions: readonly number[],
): Assignment {
  const totals = counts[0]!.map((_, c) => counts.reduce((sum, unit) => sum + unit[c]!, 0));
  const none = totals.map(() => 0);
  const held = fractions.map(() => [...none]); // [subsets, classes]
  const subsets = new Array<number>(counts.length).fill(0);
  for (const unit of order) {
    const joins = counts[unit]!;
    const rise = held.map((own, s) =>
      imbalance(own, joins, none, fractions[s]!, totals, 0) -
      imbalance(own, none, none, fractions[s]!, totals, 0)
    );
    subsets[unit] = rise.indexOf(Math.min(...rise));
    add(held[subsets[unit]!]!, joins, 1);
  }
  improve(counts, order, { fractions, totals }, held, subsets);
  const costs = held.map((own, s) =>
    imbalance(own, none, none, fractions[s]!, totals, EMPTY_PENALTY)
  );
  return { subsets, cost: costs.reduce((a, b) => a + b, 0) };
}

/** An exchange between two subsets: a unit of one kind for one of another, or for nothing. */
interface Exchange {
  gain: number;
  from: number;
  to: number;
  kind: number;
  /** `null`: a move. */
  inReturn: number | null;
}

/** Makes the best exchange, again and again, until none gains; alters `held` and `subsets`. */
function improve(
  counts: readonly (readonly number[])[],
  order: readonly number[],
  request: Request,
  held: number[][],
  subsets: number[],
): void {
  const kinds = [...Map.groupBy(order, (unit) => counts[unit]!.join()).values()];
  const kindCounts = kinds.map((units) => counts[units[0]!]!);
  const stock = held.map((_, s) =>
    // units of each kind in each subset: [subsets, kinds]
    kinds.map((units) => units.filter((unit) => subsets[unit] === s))
  );
  const transfer = (from: number, to: number, kind: number): void => {
    const unit = stock[from]![kind]!.pop()!;
    stock[to]![kind]!.push(unit);
    subsets[unit] = to;
    add(held[from]!, kindCounts[kind]!, -1);
    add(held[to]!, kindCounts[kind]!, 1);
  };
  for (;;) {
    const best = bestExchange(kindCounts, stock, request, held);
    if (best === null) return;
    transfer(best.from, best.to, best.kind);
    if (best.inReturn !== null) transfer(best.to, best.from, best.inReturn);
  }
}

function bestExchange(
  kindCounts: readonly (readonly number[])[],
  stock: readonly (readonly number[][])[],
  { fractions, totals }: Request,
  held: readonly (readonly number[])[],
): Exchange | null {
  const none = totals.map(() => 0);
  const cost = (s: number, joins: readonly number[], leaves: readonly number[]): number =>
    imbalance(held[s]!, joins, leaves, fractions[s]!, totals, EMPTY_PENALTY);
  const available = stock.map((kinds) =>
    thinned([...kinds.keys()].filter((k) => kinds[k]!.length > 0))
  );
  let best: Exchange | null = null;
  for (const from of held.keys()) {
    for (const to of held.keys()) {
      if (from === to) continue;
      const before = cost(from, none, none) + cost(to, none, none);
      // a swap is seen from one side only; a move has a direction
      const returns: (number | null)[] = from < to ? [null, ...available[to]!] : [null];
      for (const kind of available[from]!) {
        const leaves = kindCounts[kind]!;
        for (const inReturn of returns) {
          const joins = inReturn === null ? none : kindCounts[inReturn]!;
          const gain = before - cost(from, joins, leaves) - cost(to, leaves, joins);
          if (gain > (best?.gain ?? MIN_GAIN)) best = { gain, from, to, kind, inReturn };
        }
      }
    }
  }
  return best;
}

/** Every nth item, so that at most {@linkcode MOST_KINDS} are left. */
function thinned(items: readonly number[]): number[] {
  const stride = Math.ceil(items.length / MOST_KINDS);
  return items.filter((_, i) => i % stride === 0);
}

function add(held: number[], unit: readonly number[], sign: 1 | -1): void {
  for (const [c, n] of unit.entries()) held[c]! += sign * n;
}

/**
 * The least cost that whole images allow, if every image could go anywhere: in every class each
 * subset gets its fraction rounded by largest remainders, which is nearest in squares.
 */
function leastCost(totals: readonly number[], fractions: readonly number[]): number {
  return totals.reduce((cost, total) => {
    const remainders = fractions.map((fraction) => (fraction * total) % 1).sort((a, b) => b - a);
    const up = Math.round(remainders.reduce((a, b) => a + b, 0));
    const misses = remainders.map((rest, i) => (i < up ? 1 - rest : rest) / total);
    return cost + misses.reduce((sum, miss) => sum + miss ** 2, 0);
  }, 0);
}

/**
 * {@linkcode balance} from several orders: once with the largest units first, then with random ones,
 * since where one start gets stuck another may not. The best result counts; of equals the first.
 * It ends early with a result that cannot be improved.
 *
 * @param starts Number of random orders beside the first.
 */
export function balanceFromManyStarts(
  counts: readonly (readonly number[])[],
  fractions: readonly number[],
  random: Random,
  starts: number,
): Assignment {
  const size = counts.map((unit) => unit.reduce((a, b) => a + b, 0));
  const shuffled = random.shuffle([...counts.keys()]);
  const largestFirst = shuffled.toSorted((a, b) => size[b]! - size[a]!); // a stable sort
  const totals = counts[0]!.map((_, c) => counts.reduce((sum, unit) => sum + unit[c]!, 0));
  const least = leastCost(totals, fractions);
  let best = balance(counts, largestFirst, fractions);
  for (let i = 0; i < starts && best.cost > least + MIN_GAIN; i++) {
    const other = balance(counts, random.shuffle(shuffled), fractions);
    if (other.cost < best.cost - MIN_GAIN) best = other;
  }
  return best;
}
