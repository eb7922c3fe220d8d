import sharp from "sharp";
import type { Random } from "../core/random.ts";
import type { Augmentation } from "../core/settings.ts";
import { symmetryIndices } from "../data/look.ts";
import { mapDensities, rescaling, stainVectors } from "./stain.ts";
import { type Changes, drawChanges, type Hole, type Placement } from "./views.ts";

/**
 * A randomly changed copy of a training image.
 *
 * @param pixels 8-bit sRGB, row-major [size, size, 3]; not changed.
 * @param augmentation What may change and by how much (`config.training.augmentation`).
 * @param random Source of this one image's changes.
 * @returns [size, size, 3]; the given array itself where nothing is to change.
 * @example
 * ```ts
 * const seen = await augment(pixels, 224, config.training.augmentation, viewRandom(seed, epoch, i));
 * ```
 */
export function augment(
  pixels: Uint8Array,
  size: number,
  augmentation: Augmentation,
  random: Random,
): Promise<Uint8Array> {
  return applyChanges(pixels, size, drawChanges(augmentation, random));
}

/**
 * Applies changes in the order in which they come about: the tissue on the slide, its stain, the
 * microscope's focus, the camera, the file; the blank square last, so that nothing shows through.
 *
 * @param pixels 8-bit sRGB, row-major [size, size, 3]; not changed.
 * @returns [size, size, 3]; the given array itself where nothing is to change.
 */
export async function applyChanges(
  pixels: Uint8Array,
  size: number,
  changes: Changes,
): Promise<Uint8Array> {
  const { symmetry, placement, stainFactors, blur, brightness, contrast, hole } = changes;
  const { rotation, scale, shift } = placement;
  let result = pixels;
  if (symmetry !== 0) result = applySymmetry(result, size, symmetry);
  if (rotation !== 0 || scale !== 1 || shift.some((part) => part !== 0)) {
    result = warp(result, size, placement);
  }
  if (stainFactors.some((factor) => factor !== 1)) {
    result = varyStain(result, changes.stains, stainFactors);
  }
  if (blur > 0) result = gaussianBlur(result, size, blur);
  if (brightness !== 0 || contrast !== 1) result = changeLight(result, brightness, contrast);
  if (changes.jpegQuality < 100) result = await recompress(result, size, changes.jpegQuality);
  if (hole.side > 0) result = cutOut(result, size, hole);
  return result;
}

const indicesOfSize = new Map<number, Int32Array[]>();

/**
 * Turns or mirrors a square image. Pixels are moved, never mixed.
 *
 * @param pixels [size, size, 3]; not changed.
 * @param symmetry Place in `SYMMETRIES`, 0 to 7; 0 leaves everything where it is.
 */
export function applySymmetry(pixels: Uint8Array, size: number, symmetry: number): Uint8Array {
  let indices = indicesOfSize.get(size);
  if (!indices) indicesOfSize.set(size, indices = symmetryIndices(size));
  const from = indices[symmetry]!; // [size, size]
  const result = new Uint8Array(pixels.length);
  for (let i = 0; i < from.length; i++) {
    const source = 3 * from[i]!;
    result[3 * i] = pixels[source]!;
    result[3 * i + 1] = pixels[source + 1]!;
    result[3 * i + 2] = pixels[source + 2]!;
  }
  return result;
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
  const offset = Math.ceil(size * (1 + 2 / scale)); // no place is further beyond the border
  const place = Int32Array.from( // of column or row i in the mirrored image: place[i + offset]
    { length: size + 2 * offset + 1 },
    (_, i) => reflect(i - offset, size),
  );
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

/**
 * Changes brightness and contrast, as another lamp or camera does: contrast about the image's own
 * mean, so that it does not change brightness. One table of 256 values does both.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @param brightness Added to every value, as a fraction of the range.
 * @param contrast Factor of every value's distance from the mean over all pixels and channels.
 */
export function changeLight(pixels: Uint8Array, brightness: number, contrast: number): Uint8Array {
  let sum = 0;
  for (let i = 0; i < pixels.length; i++) sum += pixels[i]!;
  const mean = sum / pixels.length;
  const table = Uint8ClampedArray.from(
    { length: 256 },
    (_, value) => Math.floor(mean + (value - mean) * contrast + 255 * brightness + 0.5),
  );
  return Uint8Array.from(pixels, (value) => table[value]!);
}

/**
 * Where a place outside a row of `n` pixels lies when the row is mirrored at its edges, again and
 * again: … b a | a b c d | d c … (scipy.ndimage's "reflect").
 *
 * @param index Any integer.
 * @returns 0 to n − 1.
 */
function reflect(index: number, n: number): number {
  const period = 2 * n;
  const place = ((index % period) + period) % period;
  return place < n ? place : period - 1 - place;
}

/**
 * What is left of an image that has been saved as a JPEG, with halved colour resolution as most
 * programs do it.
 *
 * @param pixels [size, size, 3]; not changed.
 * @param quality 1 to 100.
 */
export async function recompress(pixels: Uint8Array, size: number, quality: number) {
  const jpeg = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality, chromaSubsampling: "4:2:0" }).toBuffer();
  return new Uint8Array(await sharp(jpeg).raw().toBuffer());
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
  const sums = [0, 0, 0];
  for (let i = 0; i < pixels.length; i++) sums[i % 3]! += pixels[i]!;
  const mean = sums.map((sum) => Math.round(3 * sum / pixels.length));
  const result = new Uint8Array(pixels); // not slice(): that of a Buffer is no copy
  for (let row = top; row < top + extent; row++) {
    const start = 3 * (row * size + left);
    for (let i = 0; i < 3 * extent; i++) result[start + i] = mean[i % 3]!;
  }
  return result;
}

/**
 * Blurs a square image with a Gaussian, as a lens out of focus does. Mirrored at the borders, like
 * `scipy.ndimage.gaussian_filter`; cut off at three standard deviations.
 *
 * @param pixels [size, size, 3]; not changed.
 * @param deviation Standard deviation in pixels.
 */
export function gaussianBlur(pixels: Uint8Array, size: number, deviation: number): Uint8Array {
  const kernel = halfKernel(deviation);
  const radius = kernel.length - 1;
  const stride = 3 * size;
  const margin = 3 * radius;
  const row = new Float32Array(stride + 2 * margin); // one row, blurred vertically, with its mirror
  const result = new Uint8Array(pixels.length);
  for (let y = 0; y < size; y++) {
    for (let i = 0; i < stride; i++) row[margin + i] = kernel[0]! * pixels[y * stride + i]!;
    for (let d = 1; d <= radius; d++) {
      const weight = kernel[d]!;
      const [above, below] = [reflect(y - d, size) * stride, reflect(y + d, size) * stride];
      for (let i = 0; i < stride; i++) {
        row[margin + i]! += weight * (pixels[above + i]! + pixels[below + i]!);
      }
    }
    for (let d = 1; d <= radius; d++) {
      const [left, right] = [3 * reflect(-d, size), 3 * reflect(size - 1 + d, size)];
      for (let c = 0; c < 3; c++) {
        row[margin - 3 * d + c] = row[margin + left + c]!;
        row[margin + stride + 3 * (d - 1) + c] = row[margin + right + c]!;
      }
    }
    for (let i = 0; i < stride; i++) {
      const at = margin + i;
      let sum = kernel[0]! * row[at]!;
      for (let d = 1; d <= radius; d++) sum += kernel[d]! * (row[at - 3 * d]! + row[at + 3 * d]!);
      result[y * stride + i] = sum + 0.5;
    }
  }
  return result;
}

/** Weights at distances 0, 1, … from the middle; the whole kernel's sum is 1. */
function halfKernel(deviation: number): Float64Array {
  const radius = Math.ceil(3 * deviation);
  const kernel = Float64Array.from(
    { length: radius + 1 },
    (_, d) => d === 0 ? 1 : Math.exp(-0.5 * (d / deviation) ** 2),
  );
  const sum = kernel.reduce((total, weight) => total + 2 * weight, -1);
  return kernel.map((weight) => weight / sum);
}

/**
 * Changes how much of each stain the section took, as thicker sections and longer baths do: the
 * stains are separated in optical density (Ruifrok and Johnston, 2001), scaled, and put together
 * again. As the H&E colour augmentation of D. Tellez et al., IEEE Trans. Med. Imaging 37 (2018),
 * without its offsets: those would tint the empty slide. What neither stain explains is left as it is.
 *
 * @param pixels 8-bit RGB, [n, 3]; not changed.
 * @param stains Which two stains.
 * @param factors Of the amount of haematoxylin and of the other stain.
 */
export function varyStain(
  pixels: Uint8Array,
  stains: Augmentation["stains"],
  factors: readonly [number, number],
): Uint8Array {
  return mapDensities(pixels, rescaling(stainVectors[stains], factors));
}
