/** Amounts of stain per pixel: what the drawing routines fill in. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  /** Amount of PAS, row by row. */
  readonly pas: Float32Array;
  /** Amount of haematoxylin, row by row. */
  readonly haematoxylin: Float32Array;
  /** What kind of tissue a pixel is, one of {@linkcode Tissue}. */
  readonly tissue: Uint8Array;
}

/** Kinds of tissue, which decide where nuclei may lie. */
export const Tissue = {
  none: 0,
  tubule: 1,
  interstitium: 2,
  fibrosis: 3,
  capsuleLining: 4,
  loop: 5,
  sclerosis: 6,
  podocyte: 7,
  vessel: 8,
} as const;

/** An empty canvas. */
export function createCanvas(width: number, height: number): Canvas {
  const size = width * height;
  return {
    width,
    height,
    pas: new Float32Array(size),
    haematoxylin: new Float32Array(size),
    tissue: new Uint8Array(size),
  };
}

/** Amounts of stain at one place, and its tissue. */
export interface Ink {
  pas: number;
  haematoxylin: number;
  tissue: number;
}

/**
 * Leaves in `ink` what one structure looks like at a place (µm from the glomerulus' centre).
 *
 * @param distance From the border that bounds the structure, µm.
 * @param solidity How sclerotic the place is, 0 to 1.
 */
export type Painter = (x: number, y: number, distance: number, solidity: number, ink: Ink) => void;
