/** Lowest and highest value. */
export type Range = readonly [number, number];

/** A way a glomerulus can look. Every range is drawn from anew for each crop. */
export interface Pattern {
  name: string;
  /** Whether a pathologist would call it globally sclerotic. */
  sclerotic: boolean;
  /** How common it is in its class. */
  weight: number;
  /** Radius of Bowman's capsule, µm. */
  radius: Range;
  /** Radius of the tuft over that of the capsule. */
  fill: Range;
  /** Fraction of the lobules that are solid. */
  solid: Range;
  /** Fraction of the capillaries in the other lobules that are open. */
  open: Range;
  /** Mesangium and walls, 1: normal. */
  mesangium: Range;
  /** Nuclei in the tuft, 1: normal. */
  cells: Range;
  /** Thickness of the capsule, µm. */
  capsule: Range;
  /** Collagen in Bowman's space, 0: empty. */
  collagen: Range;
  /** Width of the scar around the capsule, µm. */
  scar: Range;
  /** How strongly solid parts stain. */
  density: Range;
}

const OPEN: Omit<Pattern, "name" | "weight"> = {
  sclerotic: false,
  radius: [62, 100],
  fill: [0.84, 0.95],
  solid: [0, 0],
  open: [0.72, 0.97],
  mesangium: [0.8, 1.2],
  cells: [0.85, 1.15],
  capsule: [1.2, 2.4],
  collagen: [0, 0.03],
  scar: [0, 5],
  density: [0.65, 1],
};

const SOLID: Omit<Pattern, "name" | "weight"> = {
  sclerotic: true,
  radius: [52, 92],
  fill: [0.9, 1.02],
  solid: [1, 1],
  open: [0.2, 0.4],
  mesangium: [1.2, 1.8],
  cells: [0.35, 1.1],
  capsule: [2, 6],
  collagen: [0.05, 0.5],
  scar: [3, 22],
  density: [0.42, 0.9],
};

/** All patterns. Those of one class overlap with the other's in colour, size and cellularity. */
export const PATTERNS: readonly Pattern[] = [
  { ...OPEN, name: "normal", weight: 38 },
  {
    ...OPEN,
    name: "hypercellular",
    weight: 14,
    open: [0.1, 0.4],
    mesangium: [1.1, 1.6],
    cells: [1.3, 1.9],
  },
  {
    ...OPEN,
    name: "mesangial expansion",
    weight: 12,
    open: [0.3, 0.6],
    mesangium: [1.8, 3],
    cells: [0.9, 1.3],
  },
  {
    ...OPEN,
    name: "segmental sclerosis",
    weight: 16,
    solid: [0.2, 0.5],
    open: [0.5, 0.85],
    capsule: [1.5, 3.5],
  },
  {
    ...OPEN,
    name: "ischaemic",
    weight: 12,
    radius: [54, 86],
    fill: [0.6, 0.78],
    open: [0.15, 0.45],
    mesangium: [1.1, 1.6],
    capsule: [2, 5],
    collagen: [0, 0.12],
    scar: [2, 14],
  },
  {
    ...OPEN,
    name: "mostly sclerotic",
    weight: 10,
    radius: [54, 86],
    solid: [0.6, 0.85],
    open: [0.35, 0.7],
    mesangium: [1.2, 1.8],
    cells: [0.6, 1.1],
    capsule: [2, 4.5],
    collagen: [0, 0.25],
    scar: [2, 16],
  },
  { ...SOLID, name: "solidified", weight: 38 },
  {
    ...SOLID,
    name: "obsolescent in a collagen collar",
    weight: 24,
    fill: [0.55, 0.8],
    collagen: [0.35, 0.8],
    density: [0.75, 1.1],
  },
  {
    ...SOLID,
    name: "hyaline",
    weight: 16,
    density: [0.24, 0.45],
    cells: [0.1, 0.4],
    collagen: [0.1, 0.4],
  },
  {
    ...SOLID,
    name: "with remnants",
    weight: 22,
    solid: [0.86, 0.95],
    fill: [0.8, 0.96],
    cells: [0.5, 1],
    collagen: [0, 0.2],
  },
];
