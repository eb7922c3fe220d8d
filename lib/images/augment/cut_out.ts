/** A square inside a square image. */
export interface Hole {
  /** Its side, as a fraction of the image's. */
  side: number;
  /** Where it is, from the left (0) to the right (1) border. */
  x: number;
  /** Where it is, from the top (0) to the bottom (1) border. */
  y: number;
}

/**
 * Blanks a square (T. DeVries and G. W. Taylor, "Improved regularization of convolutional neural
 * networks with cutout", 2017) with the image's mean colour, which says least: white or black would
 * look like something.
 *
 * @param pixels [size, size, 3]; not changed.
 */
export function cutOut(pixels: Uint8Array, size: number, { side, x, y }: Hole): Uint8Array {
  const extent = Math.round(side * size);
  const [left, top] = [Math.round(x * (size - extent)), Math.round(y * (size - extent))];
  const mean = meanColour(pixels);
  const result = new Uint8Array(pixels); // not slice(): that of a Buffer is no copy
  for (let row = top; row < top + extent; row++) {
    const start = 3 * (row * size + left);
    for (let i = 0; i < 3 * extent; i++) result[start + i] = mean[i % 3]!;
  }
  return result;
}

/** Mean red, green and blue, rounded. */
function meanColour(pixels: Uint8Array): [number, number, number] {
  const sums: [number, number, number] = [0, 0, 0];
  for (let i = 0; i < pixels.length; i += 3) {
    sums[0] += pixels[i]!;
    sums[1] += pixels[i + 1]!;
    sums[2] += pixels[i + 2]!;
  }
  return sums.map((sum) => Math.round(3 * sum / pixels.length)) as [number, number, number];
}
