import type { Random } from "../core/random.ts";

/** A way of putting units, such as the images of one patient, into subsets. */
interface Assignment {
  /** Subset index of every unit. */
  subsets: number[];
  /** Sum of squared deviations from the request, in shares of each class; 0 is perfect. */
  cost: number;
}

/** Smaller gains are rounding errors. */
const MIN_GAIN = 1e-9;

/**
 * Puts units into subsets so that every subset gets its fraction of every class, as nearly as whole
 * units allow: {@linkcode balance} from several orders, once with the largest units first, then with
 * random ones, since where one start gets stuck another may not. The best result counts; of equals
 * the first. It ends early with a result that cannot be improved.
 *
 * @param counts Images a class, of every unit: [units, classes].
 * @param fractions Requested fraction of every subset, summing to 1.
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
  let best = balance(counts, largestFirst, { fractions, totals });
  for (let i = 0; i < starts && best.cost > least + MIN_GAIN; i++) {
    const other = balance(counts, random.shuffle(shuffled), { fractions, totals });
    if (other.cost < best.cost - MIN_GAIN) best = other;
  }
  return best;
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

/** What every imbalance is measured against. */
interface Request {
  /** Requested fraction of every subset, summing to 1. */
  fractions: readonly number[];
  /** Images of each class in all subsets. */
  totals: readonly number[];
}

/** What makes a subset without any image of a class worse than every imbalance. */
const EMPTY_PENALTY = 1000;

/**
 * One by one, in the order given, each unit goes where the sum of squared deviations stays least
 * (the greedy step of Sechidis, Tsoumakas & Vlahavas 2011 and of scikit-learn's
 * StratifiedGroupKFold). Then single moves and swaps of two units are made, the best one first,
 * until none helps. Units of the same composition are interchangeable: they are tried once a kind,
 * and of very many kinds an even selection, so that 100,000 images take seconds.
 */
function balance(
  counts: readonly (readonly number[])[],
  order: readonly number[],
  request: Request,
): Assignment {
  const { fractions, totals } = request;
  const none = totals.map(() => 0);
  const held = fractions.map(() => [...none]); // [subsets, classes]
  const costs = (joins: readonly number[], penalty: number) =>
    held.map((own, s) => imbalance(own, joins, none, fractions[s]!, totals, penalty));
  const subsets = new Array<number>(counts.length).fill(0);
  for (const unit of order) {
    const [before, after] = [costs(none, 0), costs(counts[unit]!, 0)];
    const rise = after.map((cost, s) => cost - before[s]!);
    subsets[unit] = rise.indexOf(Math.min(...rise));
    add(held[subsets[unit]!]!, counts[unit]!, 1);
  }
  const kinds = [...Map.groupBy(order, (unit) => counts[unit]!.join()).values()];
  const kindCounts = kinds.map((units) => counts[units[0]!]!); // [kinds, classes]
  const stock = held.map((_, s) =>
    kinds.map((units) => units.filter((unit) => subsets[unit] === s))
  ); // units of each kind in each subset: [subsets, kinds]
  const transfer = (from: number, to: number, kind: number): void => {
    const unit = stock[from]![kind]!.pop()!;
    stock[to]![kind]!.push(unit);
    subsets[unit] = to;
    add(held[from]!, kindCounts[kind]!, -1);
    add(held[to]!, kindCounts[kind]!, 1);
  };
  for (;;) {
    const best = bestExchange(kindCounts, stock, request, held);
    if (best === null) break;
    transfer(best.from, best.to, best.kind);
    if (best.inReturn !== null) transfer(best.to, best.from, best.inReturn);
  }
  return { subsets, cost: costs(none, EMPTY_PENALTY).reduce((a, b) => a + b, 0) };
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
 * Kinds of units of each subset that are tried in an exchange. Where there are more, a few hundred
 * spread over all sizes hold one that fits to the image.
 */
const MOST_KINDS = 200;

/**
 * The exchange of two subsets that gains most: a unit of one kind for one of another, or for nothing
 * (`inReturn` is `null`); `null` when none gains.
 */
function bestExchange(
  kindCounts: readonly (readonly number[])[],
  stock: readonly (readonly number[][])[],
  { fractions, totals }: Request,
  held: readonly (readonly number[])[],
) {
  const none = totals.map(() => 0);
  const cost = (s: number, joins: readonly number[], leaves: readonly number[]): number =>
    imbalance(held[s]!, joins, leaves, fractions[s]!, totals, EMPTY_PENALTY);
  const available = stock.map((kinds) => {
    const own = [...kinds.keys()].filter((k) => kinds[k]!.length > 0);
    const stride = Math.ceil(own.length / MOST_KINDS);
    return own.filter((_, i) => i % stride === 0);
  });
  type Exchange = Record<"gain" | "from" | "to" | "kind", number> & { inReturn: number | null };
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

function add(held: number[], unit: readonly number[], sign: 1 | -1): void {
  for (const [c, n] of unit.entries()) held[c]! += sign * n;
}
