/** Sets of items 0 to n − 1 that grow together. */
export interface UnionFind {
  /** The representative of an item's set. */
  find(item: number): number;
  /** Merges two sets; `false` when they were one already. */
  unite(a: number, b: number): boolean;
}

/** A union-find structure (Tarjan 1975) with path halving; every item begins as a set of its own. */
export function createUnionFind(size: number): UnionFind {
  const parent = Int32Array.from({ length: size }, (_, i) => i);
  const find = (item: number): number => {
    while (parent[item] !== item) {
      parent[item] = parent[parent[item]!]!;
      item = parent[item]!;
    }
    return item;
  };
  const unite = (a: number, b: number): boolean => {
    const [low, high] = [find(a), find(b)].sort((x, y) => x - y) as [number, number];
    parent[high] = low;
    return low !== high;
  };
  return { find, unite };
}
