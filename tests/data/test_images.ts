import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { createRandom } from "../../lib/core/random.ts";

/** Runs a test in a folder of its own, which is removed afterwards. */
export async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "glomeruli-test-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** RGB pixels of a smooth random picture, row-major [height, width, 3]: each seed another one. */
export function picturePixels(seed: number, width = 72, height = 60): Uint8Array {
  const random = createRandom(seed);
  const waves = Array.from({ length: 18 }, () => ({
    x: random.normal() * 6,
    y: random.normal() * 6,
    phase: random.next() * 6.28,
    channel: random.integer(3),
  }));
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < pixels.length; i++) {
    const [x, y] = [Math.floor(i / 3) % width / width, Math.floor(i / 3 / width) / height];
    let value = 128;
    for (const wave of waves) {
      const strength = wave.channel === i % 3 ? 25 : 8;
      value += strength * Math.sin(wave.x * x + wave.y * y + wave.phase);
    }
    pixels[i] = Math.max(0, Math.min(255, Math.round(value)));
  }
  return pixels;
}

/** A smooth random picture, ready to be encoded. */
export function picture(seed: number, width = 72, height = 60): Sharp {
  return sharp(picturePixels(seed, width, height), { raw: { width, height, channels: 3 } });
}

/** Writes a file, making its folders. */
export async function put(folder: string, path: string, bytes: Uint8Array | string): Promise<void> {
  const full = join(folder, path);
  await Deno.mkdir(join(full, ".."), { recursive: true });
  if (typeof bytes === "string") await Deno.writeTextFile(full, bytes);
  else await Deno.writeFile(full, bytes);
}

/** A PNG that claims a size and ends after its header: what a pixel bomb shows to a reader. */
export function hugePng(width: number, height: number): Uint8Array {
  const header = new Uint8Array(17);
  header.set(new TextEncoder().encode("IHDR"));
  const view = new DataView(header.buffer);
  view.setUint32(4, width);
  view.setUint32(8, height);
  header.set([8, 2, 0, 0, 0], 12); // 8-bit RGB
  const empty = new TextEncoder().encode("IDAT");
  return Uint8Array.from([
    ...[0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a],
    ...[0, 0, 0, 13, ...header, ...crc32(header)],
    ...[0, 0, 0, 0, ...empty, ...crc32(empty)],
  ]);
}

function crc32(bytes: Uint8Array): number[] {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  crc = ~crc;
  return [crc >>> 24 & 255, crc >>> 16 & 255, crc >>> 8 & 255, crc & 255];
}
