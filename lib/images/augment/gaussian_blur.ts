import { reflect } from "./reflect.ts";

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
