import assert from "node:assert/strict";
import { join } from "node:path";
import type { Sharp } from "sharp";
import { readCsv } from "../../lib/core/csv.ts";
import { createRandom, type Random } from "../../lib/core/random.ts";
import { tf } from "../../lib/core/tensorflow.ts";
import { compareCodePoints } from "../../lib/core/words.ts";
import { picture } from "../data/test_images.ts";
import { evaluate, withNewImages } from "./with_new_images.ts";

const IMAGES = 2100;

/** A bitmap as Windows programs save it: 24 bits, no compression. */
async function bitmap(seed: number): Promise<Uint8Array> {
  const [width, height] = [40, 32]; // rows need no padding
  const bytes = new Uint8Array(54 + 3 * width * height);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode("BM"));
  for (const [at, value] of [[2, bytes.length], [10, 54], [14, 40], [18, width], [22, height]]) {
    view.setUint32(at!, value!, true);
  }
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  bytes.set(await picture(seed, width, height).flip().raw().toBuffer(), 54);
  return bytes;
}

/** Whole images of every format, of 32 to 64 pixels. */
async function seeds(): Promise<{ name: string; bytes: Uint8Array }[]> {
  const encoders: Record<string, (image: Sharp) => Sharp> = {
    "rgba.png": (image) => image.ensureAlpha(0.5).png(),
    "palette.png": (image) => image.png({ palette: true }),
    "sixteen.png": (image) => image.toColourspace("rgb16").png(),
    "interlaced.png": (image) => image.png({ progressive: true }),
    "plain.jpg": (image) => image.jpeg(),
    "progressive.jpeg": (image) => image.jpeg({ progressive: true }),
    "cmyk.jpg": (image) => image.toColourspace("cmyk").jpeg(),
    "turned.jpg": (image) => image.withMetadata({ orientation: 6 }).jpeg(),
    "lzw.tif": (image) => image.tiff({ compression: "lzw" }),
    "tiled.tiff": (image) =>
      image.tiff({ compression: "deflate", tile: true, tileWidth: 16, tileHeight: 16 }),
    "jpeg.tif": (image) => image.tiff({ compression: "jpeg" }),
    "lossy.webp": (image) => image.webp(),
    "lossless.webp": (image) => image.ensureAlpha(0.7).webp({ lossless: true }),
    "animated.png": (image) => image.gif(),
  };
  const images = await Promise.all(
    Object.entries(encoders).map(async ([name, encode], i) => ({
      name,
      bytes: new Uint8Array(await encode(picture(i, 32 + 2 * i, 64 - 2 * i)).toBuffer()),
    })),
  );
  return [...images, { name: "plain.bmp", bytes: await bitmap(50) }];
}

/** One of the ways in which files go wrong, or are made to. */
function mutate(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const changed = bytes.slice();
  const place = () => random.integer(changed.length);
  switch (random.integer(6)) {
    case 0: // some bits
      for (let i = 0; i <= random.integer(12); i++) changed[place()]! ^= 1 << random.integer(8);
      return changed;
    case 1: // bits of the header
      for (let i = 0; i <= random.integer(6); i++) {
        changed[random.integer(Math.min(64, changed.length))]! ^= 1 << random.integer(8);
      }
      return changed;
    case 2:
      return changed.subarray(0, place());
    case 3: // the head of another format
      changed.set(other.subarray(0, Math.min(changed.length, 4 + random.integer(60))));
      return changed;
    case 4: { // a run of extremes, as in sizes and offsets that were meant to overflow
      const [at, value] = [place(), random.integer(2) * 255];
      return changed.fill(value, at, at + 1 + random.integer(8));
    }
    default: // a piece lost in the middle
      return Uint8Array.from([...changed.subarray(0, place()), ...changed.subarray(place())]);
  }
}

async function putMutants(folder: string): Promise<void> {
  const random = createRandom("fuzz");
  const whole = await seeds();
  for (let i = 0; i < IMAGES; i++) {
    const { name, bytes } = whole[i % whole.length]!;
    const other = whole[random.integer(whole.length)]!;
    const mutant = i < whole.length ? bytes : mutate(bytes, other.bytes, random);
    await Deno.writeFile(join(folder, `${String(i).padStart(4, "0")} ${name}`), mutant);
  }
}

Deno.test(
  `evaluateFolder() puts each of ${IMAGES} mutated images into one of two files, in constant memory`,
  withNewImages(putMutants, async (places) => {
    const tensors = tf.memory().numTensors;
    const memory: number[] = []; // after every quarter, in megabytes
    const result = await evaluate(places, {
      onProgress: (done, total) => {
        if (done % (IMAGES / 4) !== 0 || total !== IMAGES) return;
        memory.push(Deno.memoryUsage().rss / 1e6);
      },
    });
    assert.equal(tf.memory().numTensors, tensors);
    const [read, refused] = await Promise.all(
      [result.files.evaluation, result.files.errors].map((path) => readCsv(path, ["name"], "")),
    );
    const namesOf = (rows: { name: string }[]) =>
      rows.map(({ name }) => name).sort(compareCodePoints);
    const files = await Array.fromAsync(Deno.readDir(places.folder));
    assert.deepEqual(namesOf([...read!, ...refused!]), namesOf(files));
    for (const rows of [read!, refused!]) {
      assert.ok(rows.length > IMAGES / 10, `${rows.length}: mutants are neither all alike`);
    }
    const whole = read!.filter(({ name }) => Number(name.slice(0, 4)) < 15);
    assert.equal(whole.length, 15);
    assert.ok(memory.at(-1)! - memory.at(-3)! < 50, `memory grows: ${memory.map(Math.round)} MB`);
  }),
);
