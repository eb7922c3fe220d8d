import assert from "node:assert/strict";
import { join } from "node:path";
import { ImageError } from "../../lib/errors.ts";
import { decodeImage } from "../../lib/images/decode.ts";
import { inFolder, picture, picturePixels, put } from "../data/test_images.ts";

Deno.test("decodeImage() gives Pillow's pixels of a lossless file at its own size", () =>
  inFolder(async (folder) => {
    await put(folder, "a.png", await picture(1, 64, 64).png().toBuffer());
    const script = "import sys; from PIL import Image; " +
      "sys.stdout.buffer.write(Image.open(sys.argv[1]).convert('RGB').tobytes())";
    const { stdout } = await new Deno.Command(".venv/bin/python", {
      args: ["-c", script, join(folder, "a.png")],
    }).output();
    const pixels = await decodeImage(join(folder, "a.png"), { size: 64, maxMegapixels: 1 });
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
        const pixels = await decodeImage(path, { size: 32, maxMegapixels: 1 });
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
    await assert.rejects(decodeImage(path, { size: 32, maxMegapixels: 1 }), (error: unknown) => {
      assert(error instanceof ImageError);
      assert.equal(error.path, path);
      assert.equal(error.reason, "the file is empty (0 bytes).");
      return true;
    });
  }));
