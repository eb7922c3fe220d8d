import { join } from "node:path";
import sharp from "sharp";
import { createRandom } from "../lib/core/random.ts";

/** Size of the crops of the public set, about. */
const [WIDTH, HEIGHT] = [700, 730];

/**
 * Writes crops as a slide scanner's export has them, 700 × 730 RGBA PNG or JPEG: noisy pink tissue
 * with round structures, so that files are as large and as slow to decode as real ones.
 *
 * @param different Pictures that are drawn; the files repeat them.
 * @returns Absolute paths.
 */
export async function writeCrops(
  folder: string,
  count: number,
  format: "png" | "jpeg",
  different = 8,
): Promise<string[]> {
  const pictures = await Promise.all(
    Array.from({ length: Math.min(different, count) }, (_, i) => drawCrop(i, format)),
  );
  const paths = Array.from({ length: count }, (_, i) => join(folder, `${i}.${format}`));
  for (const [i, path] of paths.entries()) {
    await Deno.writeFile(path, pictures[i % pictures.length]!);
  }
  return paths;
}

async function drawCrop(seed: number, format: "png" | "jpeg"): Promise<Uint8Array> {
  const random = createRandom(`bench/${seed}`);
  const pixels = new Uint8Array(WIDTH * HEIGHT * 4); // [730, 700, 4]
  const discs = Array.from({ length: 40 }, () => ({
    x: random.next() * WIDTH,
    y: random.next() * HEIGHT,
    radius: 10 + 60 * random.next(),
    shade: 60 * random.next(),
  }));
  for (let i = 0; i < WIDTH * HEIGHT; i++) {
    const [x, y] = [i % WIDTH, Math.floor(i / WIDTH)];
    let shade = 0;
    for (const disc of discs) {
      if ((x - disc.x) ** 2 + (y - disc.y) ** 2 < disc.radius ** 2) shade += disc.shade;
    }
    const noise = 12 * random.next();
    pixels.set(
      [
        Math.max(0, 225 - shade * 0.6 + noise),
        Math.max(0, 180 - shade + noise),
        Math.max(0, 205 - shade * 0.7 + noise),
        255,
      ],
      4 * i,
    );
  }
  const image = sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 4 } });
  return await (format === "png" ? image.png() : image.removeAlpha().jpeg({ quality: 90 }))
    .toBuffer();
}
