import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import sharp from "sharp";
import { ImageError } from "../../lib/core/errors.ts";
import { venvPython } from "../../lib/core/python.ts";
import { batches, createPixelCache, decodeImage } from "../../lib/images/decode.ts";
import { inFolder, picture, picturePixels, put } from "../data/test_images.ts";

/** A test with an empty folder of its own. */
const test = (name: string, body: (folder: string) => Promise<void>) =>
  Deno.test(name, () => inFolder(body));

const squash = { size: 32, resize: "squash", maxMegapixels: 1 } as const;

const BYTES = 32 * 32 * 3;

test("decodeImage() gives Pillow's pixels of a lossless file at its own size", async (folder) => {
  await put(folder, "a.png", await picture(1, 64, 64).png().toBuffer());
  const { pixels } = await decodeImage(join(folder, "a.png"), { ...squash, size: 64 });
  assert.deepEqual(new Uint8Array(pixels), await pillow(join(folder, "a.png"), "pass"));
  assert.deepEqual(new Uint8Array(pixels), picturePixels(1, 64, 64));
});

test("decodeImage() squashes to a square, up and down", async (folder) => {
  for (const format of ["png", "jpeg", "tiff", "webp"] as const) {
    for (const [width, height] of [[211, 233], [20, 300], [8, 8]] as const) {
      const path = join(folder, `a.${format}`);
      await picture(2, width, height).toFormat(format).toFile(path);
      const { pixels } = await decodeImage(path, squash);
      assert.equal(pixels.length, 32 * 32 * 3);
      const mean = (values: Uint8Array) => values.reduce((a, b) => a + b, 0) / values.length;
      const expected = mean(picturePixels(2, width, height));
      assert(Math.abs(mean(pixels) - expected) < 3, `${format} ${width}×${height}`);
    }
  }
});

test("decodeImage() names the file and the reason", async (folder) => {
  await put(folder, '"a",\n<b>.png', "");
  const path = join(folder, '"a",\n<b>.png');
  const reason = "the file is empty (0 bytes).";
  await assert.rejects(decodeImage(path, squash), { name: ImageError.name, path, reason });
});

/** Pillow's picture at a size, [height, width, 3]: BILINEAR widens when shrinking, as ours does. */
async function pillow(path: string, code: string): Promise<Uint8Array> {
  const script = "import sys; from PIL import Image, ImageOps; " +
    `image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert('RGB'); ${code}; ` +
    "sys.stdout.buffer.write(image.tobytes())";
  const python = new Deno.Command(venvPython, { args: ["-c", script, path] });
  const { stdout, stderr, success } = await python.output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return stdout;
}

test("decodeImage() letterboxes and crops as Pillow does, after the EXIF orientation", async (folder) => {
  const path = join(folder, "a.png");
  const code = {
    squash: "image = image.resize((48, 48), Image.BILINEAR)",
    letterbox: "image = ImageOps.pad(image, (48, 48), Image.BILINEAR, color='white')",
    centre_crop: "image = ImageOps.fit(image, (48, 48), Image.BILINEAR)",
  };
  for (const orientation of [1, 6]) {
    const bytes = await picture(3, 192, 96).withMetadata({ orientation }).png().toBuffer();
    await put(folder, "a.png", bytes);
    for (const resize of ["squash", "letterbox", "centre_crop"] as const) {
      const { pixels, width, height } = await decodeImage(path, { ...squash, size: 48, resize });
      assert.deepEqual([width, height], orientation === 1 ? [192, 96] : [96, 192]);
      const expected = await pillow(path, code[resize]);
      const worst = Math.max(...pixels.map((value, i) => Math.abs(value - expected[i]!)));
      // Both round after each of the two passes; none is the exact one.
      assert.ok(worst <= 2, `${resize}, orientation ${orientation}: ${worst} grey levels apart`);
    }
  }
});

test("decodeImage() letterboxes with white bars and keeps what is round round", async (folder) => {
  const disc = `<svg width="200" height="100"><rect width="200" height="100" fill="black"/>` +
    `<circle cx="100" cy="50" r="40" fill="red"/></svg>`;
  await put(folder, "a.png", await sharp(new TextEncoder().encode(disc)).png().toBuffer());
  const at = async (resize: "letterbox" | "centre_crop", x: number, y: number) => {
    const { pixels } = await decodeImage(join(folder, "a.png"), { ...squash, size: 40, resize });
    return [...pixels.subarray((y * 40 + x) * 3, (y * 40 + x) * 3 + 3)];
  };
  assert.deepEqual(await at("letterbox", 20, 4), [255, 255, 255]); // above the picture
  assert.deepEqual(await at("letterbox", 2, 20), [0, 0, 0]); // beside the disc
  assert.deepEqual(await at("letterbox", 20, 14), [255, 0, 0]);
  assert.deepEqual(await at("letterbox", 26, 20), [255, 0, 0]); // as far across as up
  assert.deepEqual(await at("centre_crop", 20, 6), [255, 0, 0]);
  assert.deepEqual(await at("centre_crop", 6, 20), [255, 0, 0]);
  assert.deepEqual(await at("centre_crop", 1, 1), [0, 0, 0]);
});

test("decodeImage() shrinks a JPEG while decoding it", async (folder) => {
  const large = await picture(4, 400, 300).resize(4000, 3000).jpeg().toBuffer();
  await put(folder, "a.jpg", large);
  const path = join(folder, "a.jpg");
  const seconds = async (size: number) => {
    const start = performance.now();
    await decodeImage(path, { size, resize: "squash", maxMegapixels: 20 });
    return performance.now() - start;
  };
  const least = async (size: number) =>
    Math.min(await seconds(size), await seconds(size), await seconds(size));
  const [small, whole] = [await least(224), await least(2999)];
  assert.ok(small < whole / 2, `${small} ms for 224 pixels, ${whole} ms for 2999`);
});

async function putFiles(folder: string, n: number): Promise<string[]> {
  for (let i = 0; i < n; i++) {
    await put(folder, `${i}.png`, await picture(i, 20, 20).png().toBuffer());
  }
  return Array.from({ length: n }, (_, i) => join(folder, `${i}.png`));
}

test("batches() yields every file once, in order, with its pixels", async (folder) => {
  const files = await putFiles(folder, 23);
  const decoded = await Promise.all(files.map((path) => decodeImage(path, squash)));
  for (const batchSize of [1, 4, 23, 30]) {
    const seen: string[] = [];
    for await (const { pixels, paths } of batches(files, { ...squash, batchSize })) {
      assert.equal(paths.length, Math.min(batchSize, files.length - seen.length));
      assert.equal(pixels.length, paths.length * BYTES);
      for (const i of paths.keys()) {
        const expected = new Uint8Array(decoded[seen.length + i]!.pixels);
        assert.deepEqual(pixels.slice(i * BYTES, (i + 1) * BYTES), expected);
      }
      seen.push(...paths);
    }
    assert.deepEqual(seen, files);
  }
  assert.deepEqual(await Array.fromAsync(batches([], { ...squash, batchSize: 2 })), []);
});

test("batches() ends with the name of a file that breaks, never with zeros", async (folder) => {
  const files = await putFiles(folder, 9);
  await put(folder, "5.png", "broken");
  const seen: string[] = [];
  await assert.rejects(async () => {
    for await (const { paths } of batches(files, { ...squash, batchSize: 2 })) {
      seen.push(...paths);
    }
  }, { name: ImageError.name, path: files[5] });
  assert.deepEqual(seen, files.slice(0, 4));
});

test("batches() reads only a few batches ahead, and stops with its consumer", async (folder) => {
  const files = await putFiles(folder, 8);
  const many = Array.from({ length: 4000 }, (_, i) => files[i % 8]!);
  let reads = 0;
  const counted = new Proxy(many, {
    get(target, key, receiver) {
      if (typeof key === "string" && /^\d+$/.test(key)) reads++;
      return Reflect.get(target, key, receiver);
    },
  });
  let taken = 0;
  for await (const { paths } of batches(counted, { ...squash, batchSize: 4 })) {
    taken += paths.length;
    if (taken > 20) break;
  }
  const after = reads;
  assert(after < 100, `${after} files were touched for 24 images`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(reads, after);
});

test("createPixelCache() decodes once what fits, and the rest every time", async (folder) => {
  const cache = createPixelCache(3.5 * BYTES / 1e6);
  let decoded = 0;
  for (let i = 0; i < 5; i++) await put(folder, `${i}`, "");
  for (let epoch = 0; epoch < 3; epoch++) {
    for (let i = 0; i < 5; i++) {
      const pixels = await cache.pixels(join(folder, `${i}`), () => {
        decoded++;
        // as sharp gives them: a Buffer, whose slice() is no copy
        return Promise.resolve(Buffer.alloc(BYTES, i));
      });
      assert.deepEqual(new Uint8Array(pixels), new Uint8Array(BYTES).fill(i));
      pixels.fill(99); // the caller's own: a transform may write into it
    }
    assert.equal(cache.count(), 3);
  }
  assert.equal(decoded, 5 + 2 + 2);
});

test("createPixelCache() sees a file that changes, and names one that vanishes", async (folder) => {
  const paths = [0, 1, 2].map((i) => join(folder, `${i}.png`));
  const write = async (i: number, seed: number) =>
    await put(folder, `${i}.png`, await picture(seed, 20, 20).png().toBuffer());
  for (const i of [0, 1, 2]) await write(i, i);
  const cache = createPixelCache(1);
  const read = () =>
    Promise.all(paths.map(async (path) => {
      const decode = async () => (await decodeImage(path, squash)).pixels;
      const pixels = await cache.pixels(path, decode);
      const before = new Uint8Array(pixels);
      pixels.fill(99); // a transform
      return before;
    }));
  const first = await read();
  assert.equal(cache.count(), 3);
  assert.deepEqual(await read(), first); // what became of them is not held
  await write(1, 77);
  const changed = await read();
  assert.deepEqual([changed[0], changed[2]], [first[0], first[2]]);
  assert.notDeepEqual(changed[1], first[1]);
  await Deno.remove(paths[2]!);
  await assert.rejects(read(), { name: ImageError.name, path: paths[2]! });
});
