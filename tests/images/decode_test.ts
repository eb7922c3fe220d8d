import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { ImageError } from "../../lib/core/errors.ts";
import { decodeImage } from "../../lib/images/decode.ts";
import { inFolder, picture, picturePixels, put } from "../data/test_images.ts";

const squash = { size: 32, resize: "squash", maxMegapixels: 1 } as const;

Deno.test("decodeImage() gives Pillow's pixels of a lossless file at its own size", () =>
  inFolder(async (folder) => {
    await put(folder, "a.png", await picture(1, 64, 64).png().toBuffer());
    const script = "import sys; from PIL import Image; " +
      "sys.stdout.buffer.write(Image.open(sys.argv[1]).convert('RGB').tobytes())";
    const { stdout } = await new Deno.Command(".venv/bin/python", {
      args: ["-c", script, join(folder, "a.png")],
    }).output();
    const { pixels } = await decodeImage(join(folder, "a.png"), { ...squash, size: 64 });
    assert.deepEqual(new Uint8Array(pixels), stdout);
    assert.deepEqual(new Uint8Array(pixels), picturePixels(1, 64, 64));
  }));

Deno.test("decodeImage() squashes to a square, up and down", () =>
  inFolder(async (folder) => {
    for (const format of ["png", "jpeg", "tiff", "webp"] as const) {
      for (const [width, height] of [[211, 233], [20, 300], [8, 8]] as const) {
        const bytes = await picture(2, width, height).toFormat(format).toBuffer();
        await put(folder, `a.${format}`, bytes);
        const path = join(folder, `a.${format}`);
        const { pixels } = await decodeImage(path, squash);
        assert.equal(pixels.length, 32 * 32 * 3);
        const mean = (values: Uint8Array) => values.reduce((a, b) => a + b, 0) / values.length;
        const expected = mean(picturePixels(2, width, height));
        assert(Math.abs(mean(pixels) - expected) < 3, `${format} ${width}×${height}`);
      }
    }
  }));

Deno.test("decodeImage() names the file and the reason", () =>
  inFolder(async (folder) => {
    await put(folder, '"a",\n<b>.png', "");
    const path = join(folder, '"a",\n<b>.png');
    await assert.rejects(decodeImage(path, squash), (error: unknown) => {
      assert(error instanceof ImageError);
      assert.equal(error.path, path);
      assert.equal(error.reason, "the file is empty (0 bytes).");
      return true;
    });
  }));

/** Pillow's picture at a size, [height, width, 3]: BILINEAR widens when shrinking, as ours does. */
async function pillow(path: string, code: string): Promise<Uint8Array> {
  const script = "import sys; from PIL import Image, ImageOps; " +
    `image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert('RGB'); ${code}; ` +
    "sys.stdout.buffer.write(image.tobytes())";
  const { stdout, stderr, success } = await new Deno.Command(".venv/bin/python", {
    args: ["-c", script, path],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return stdout;
}

Deno.test("decodeImage() letterboxes and crops as Pillow does, after the EXIF orientation", () =>
  inFolder(async (folder) => {
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
        const worst = pixels.reduce(
          (most, value, i) => Math.max(most, Math.abs(value - expected[i]!)),
          0,
        );
        // Both round after each of the two passes; none is the exact one.
        assert.ok(worst <= 2, `${resize}, orientation ${orientation}: ${worst} grey levels apart`);
      }
    }
  }));

Deno.test("decodeImage() letterboxes with white bars and keeps what is round round", () =>
  inFolder(async (folder) => {
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
  }));

Deno.test("decodeImage() shrinks a JPEG while decoding it", () =>
  inFolder(async (folder) => {
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
  }));
