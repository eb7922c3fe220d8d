import { reflect } from "./reflect.ts";

/** A change of place, size and angle. */
export interface Placement {
  /** Degrees, clockwise, about the centre. */
  rotation: number;
  /** Factor of size about the centre: above 1 things become larger. */
  scale: number;
  /** To the right and down, as fractions of the side; after rotation and scale. */
  shift: readonly [number, number];
}

/**
 * Rotates, scales and shifts a square image in one resampling, so that nothing is interpolated twice.
 * Bilinear, as `scipy.ndimage.affine_transform(order=1, mode="reflect")`.
 *
 * What comes in from beyond the border is the image mirrored there. Tissue goes on beyond a crop's
 * border, and so it does in the mirror image, in its own stain and texture; white corners would look
 * like the end of the section, which no crop shows that way. White bars of a letterboxed image stay
 * white bars.
 *
 * @param pixels [size, size, 3]; not changed.
 */
export function warp(
  pixels: Uint8Array,
  size: number,
  { rotation, scale, shift }: Placement,
): Uint8Array {
  const angle = rotation * Math.PI / 180;
  const [cos, sin] = [Math.cos(angle) / scale, Math.sin(angle) / scale];
  const centre = (size - 1) / 2;
  const [right, down] = [centre + shift[0] * size, centre + shift[1] * size];
  const { place, offset } = mirrored(size, Math.ceil(size * (1 + 2 / scale)));
  const result = new Uint8Array(pixels.length);
  let at = 0;
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      // the place in the original: shifted, scaled and turned back
      const fromX = centre + cos * (x - right) + sin * (y - down);
      const fromY = centre - sin * (x - right) + cos * (y - down);
      const [left, top] = [Math.floor(fromX), Math.floor(fromY)];
      const [u, v] = [fromX - left, fromY - top];
      const [x0, x1] = [3 * place[left + offset]!, 3 * place[left + 1 + offset]!];
      const row0 = 3 * size * place[top + offset]!;
      const row1 = 3 * size * place[top + 1 + offset]!;
      for (let c = 0; c < 3; c++) {
        const upper = pixels[row0 + x0 + c]! * (1 - u) + pixels[row0 + x1 + c]! * u;
        const lower = pixels[row1 + x0 + c]! * (1 - u) + pixels[row1 + x1 + c]! * u;
        result[at++] = upper * (1 - v) + lower * v + 0.5;
      }
    }
  }
  return result;
}

/** `place[i + offset]`: where the column or row `i` lies, for all `i` from −margin to size + margin. */
function mirrored(size: number, margin: number): { place: Int32Array; offset: number } {
  const place = Int32Array.from(
    { length: size + 2 * margin + 1 },
    (_, i) => reflect(i - margin, size),
  );
  return { place, offset: margin };
}
