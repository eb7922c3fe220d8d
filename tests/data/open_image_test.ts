import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { ImageError } from "../../lib/core/errors.ts";
import { runTool, venvPython } from "../../lib/core/python.ts";
import { type OpenedImage, openImage, readImageFile } from "../../lib/data/open_image.ts";
import { boundByPermissions } from "../bound_by_permissions.ts";
import { hugePng, inFolder, picture, picturePixels, put } from "./test_images.ts";

const open = (bytes: Uint8Array, maxMegapixels = 100): Promise<OpenedImage> =>
  openImage(bytes, "case/a.png", maxMegapixels);

/** Decodes at the image's own size. */
async function decode(bytes: Uint8Array): Promise<Uint8Array> {
  const image = await open(bytes);
  return await image.toRgb(image.width, image.height);
}

async function refuses(bytes: Uint8Array, reason: RegExp, maxMegapixels = 100): Promise<void> {
  await assert.rejects(async () => {
    const image = await open(bytes, maxMegapixels);
    await image.toRgb(16, 16);
  }, (error: unknown) => {
    assert(error instanceof ImageError, String(error));
    assert.match(error.reason, reason);
    assert.match(error.message, /case\/a\.png/);
    assert.doesNotMatch(error.reason, /\n/);
    return true;
  });
}

const largestDifference = (a: Uint8Array, b: Uint8Array): number => {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
};

Deno.test("openImage() keeps every pixel of lossless files at their own size", async () => {
  const pixels = picturePixels(1);
  const lossless = {
    png: picture(1).png(),
    tiff: picture(1).tiff({ compression: "lzw" }),
    webp: picture(1).webp({ lossless: true }),
  };
  for (const [format, encoder] of Object.entries(lossless)) {
    const bytes = await encoder.toBuffer();
    const image = await open(bytes);
    assert.deepEqual([image.format, image.width, image.height], [format, 72, 60]);
    assert.equal(largestDifference(await decode(bytes), pixels), 0, format);
  }
});

Deno.test("openImage() refuses files that are no images, and says what they are", async () => {
  await refuses(new Uint8Array(), /empty \(0 bytes\)/);
  await refuses(new TextEncoder().encode("name,label\na,b\n"), /text file/);
  await refuses(new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg'/>"), /text file/);
  await refuses(Uint8Array.of(0, 1, 2, 3, 200), /not JPEG, PNG/);
});

Deno.test("openImage() refuses truncated files of every format", async () => {
  for (const format of ["png", "jpeg", "tiff", "webp", "gif"] as const) {
    const bytes = await picture(2, 200, 150).toFormat(format).toBuffer();
    for (const kept of [0.3, 0.6, 0.95]) {
      await refuses(bytes.subarray(0, bytes.length * kept), /damaged, cut short/);
    }
  }
});

Deno.test("openImage() refuses a PNG with damaged data", async () => {
  const bytes = new Uint8Array(await picture(2).png().toBuffer());
  bytes.fill(0x55, bytes.length / 2, bytes.length / 2 + 30);
  await refuses(bytes, /damaged/);
});

Deno.test("openImage() refuses pixel bombs from their header and tiny images", async () => {
  await refuses(hugePng(30000, 30000), /30000 × 30000 pixels, 900 megapixels; the limit .* 100\./);
  await refuses(await picture(1, 60, 50).png().toBuffer(), /60 × 50 pixels/, 0.002);
  await refuses(await picture(1, 1, 1).png().toBuffer(), /only 1 × 1 pixels/);
});

Deno.test("openImage() takes the upper 8 of 16 bits", async () => {
  const values = Uint16Array.from({ length: 16 * 16 * 3 }, (_, i) => i * 85);
  const bytes = await sharp(values, { raw: { width: 16, height: 16, channels: 3 } })
    .toColourspace("rgb16").png().toBuffer();
  assert.equal((await sharp(bytes).metadata()).depth, "ushort");
  assert.deepEqual([...await decode(bytes)], [...values].map((value) => value >> 8));
});

Deno.test("openImage() makes grey three equal channels, of 8 and 16 bits", async () => {
  for (const space of ["b-w", "grey16"]) {
    const bytes = await picture(3).greyscale().toColourspace(space).png().toBuffer();
    const image = await open(bytes);
    assert.equal(image.channels, 1);
    const rgb = await decode(bytes);
    assert(rgb.every((value, i) => value === rgb[i - i % 3]));
    assert(new Set(rgb).size > 20);
  }
});

Deno.test("openImage() lays transparent pixels over white", async () => {
  const rgba = new Uint8Array(10 * 10 * 4).map((_, i) => [10, 20, 30, i < 200 ? 0 : 255][i % 4]!);
  const bytes = await sharp(rgba, { raw: { width: 10, height: 10, channels: 4 } }).png().toBuffer();
  const rgb = await decode(bytes);
  assert.deepEqual([...rgb.subarray(0, 3)], [255, 255, 255]);
  assert.deepEqual([...rgb.subarray(-3)], [10, 20, 30]);
});

Deno.test("openImage() converts CMYK to RGB of about the same colours", async () => {
  const bytes = await picture(4).toColourspace("cmyk").jpeg({ quality: 95 }).toBuffer();
  assert.equal((await sharp(bytes).metadata()).space, "cmyk");
  const [rgb, original] = [await decode(bytes), picturePixels(4)];
  const mean = rgb.reduce((sum, value, i) => sum + Math.abs(value - original[i]!), 0) / rgb.length;
  assert(mean < 16, `mean difference ${mean}`);
});

Deno.test("openImage() names how unusual files store their pixels, and nothing of usual ones", async () => {
  const cases = [
    [picture(4).png(), ""],
    [picture(4).ensureAlpha(0.5).png(), ""],
    [picture(4).jpeg(), ""],
    [picture(4).toColourspace("b-w").png(), "grey"],
    [picture(4).toColourspace("rgb16").png(), "16-bit"],
    [picture(4).toColourspace("grey16").png(), "16-bit grey"],
    [picture(4).toColourspace("cmyk").jpeg(), "CMYK"],
  ] as const;
  for (const [image, mode] of cases) assert.equal((await open(await image.toBuffer())).mode, mode);
});

Deno.test("openImage() takes the first frame of animated files", async () => {
  const frames = Uint8Array.from([...picturePixels(5, 20, 20), ...picturePixels(6, 20, 20)]);
  const strip = sharp(frames, { raw: { width: 20, height: 40, channels: 3, pageHeight: 20 } });
  const webp = await strip.clone().webp({ lossless: true }).toBuffer();
  assert.equal((await sharp(webp).metadata()).pages, 2);
  assert.equal(largestDifference(await decode(webp), picturePixels(5, 20, 20)), 0);
  const gif = await strip.gif().toBuffer();
  const image = await open(gif);
  assert.deepEqual([image.format, image.width, image.height], ["gif", 20, 20]);
});

Deno.test("openImage() applies the EXIF orientation", async () => {
  const upright = picturePixels(7, 40, 30);
  const turned = await picture(7, 40, 30).rotate(270).toBuffer({ resolveWithObject: true });
  const bytes = await sharp(turned.data, { raw: { width: 30, height: 40, channels: 3 } })
    .withMetadata({ orientation: 6 }).png().toBuffer(); // 6: to be turned by 90° for viewing
  const image = await open(bytes);
  assert.deepEqual([image.width, image.height], [40, 30]);
  assert.equal(largestDifference(await decode(bytes), upright), 0);
});

Deno.test("openImage() agrees with Pillow on every kind of BMP, and refuses bits and floats", async () => {
  await inFolder(async (folder) => {
    await put(folder, "in.png", await picture(8, 23, 17).png().toBuffer());
    const script =
      "import sys; from PIL import Image; d = sys.argv[1]; i = Image.open(d + '/in.png')\n" +
      "for mode in ['L', 'P', 'RGB', 'RGBA']:\n" +
      "    j = i.convert(mode); j.save(f'{d}/{mode}.bmp'); j.convert('RGB').save(f'{d}/{mode}.png')\n" +
      "i.convert('1').save(d + '/bits.bmp'); i.convert('F').save(d + '/float.tif')";
    await runTool(venvPython, ["-c", script, folder]);
    for (const [mode, channels] of [["L", 1], ["P", 3], ["RGB", 3], ["RGBA", 3]] as const) {
      const bmp = await Deno.readFile(join(folder, `${mode}.bmp`));
      const image = await open(bmp);
      assert.deepEqual([image.format, image.width, image.height], ["bmp", 23, 17]);
      assert.equal(image.channels, channels);
      const png = await decode(await Deno.readFile(join(folder, `${mode}.png`)));
      assert.equal(largestDifference(await decode(bmp), png), 0, mode);
      await refuses(bmp.subarray(0, bmp.length - 40), /cut short/);
    }
    await refuses(await Deno.readFile(join(folder, "bits.bmp")), /save it as PNG/);
    await refuses(await Deno.readFile(join(folder, "float.tif")), /samples are of type float/);
  });
});

Deno.test("openImage() shrinks as Pillow's BILINEAR does", async () => {
  await inFolder(async (folder) => {
    await put(folder, "in.png", await picture(9, 711, 733).png().toBuffer());
    const script = "import sys; from PIL import Image; d = sys.argv[1]\n" +
      "Image.open(d + '/in.png').resize((224, 224), Image.BILINEAR).save(d + '/out.png')";
    await runTool(venvPython, ["-c", script, folder]);
    const ours = await (await open(await Deno.readFile(join(folder, "in.png")))).toRgb(224, 224);
    const theirs = await decode(await Deno.readFile(join(folder, "out.png")));
    assert(largestDifference(ours, theirs) <= 3, `${largestDifference(ours, theirs)} of 255`);
  });
});

Deno.test("readImageFile() says why a file cannot be read", async () => {
  await inFolder(async (folder) => {
    await assert.rejects(readImageFile(join(folder, "none.png"), 100), /not there/);
    await assert.rejects(readImageFile(join(folder, "\ufffd.png"), 100), /not valid UTF-8/);
    await Deno.mkdir(join(folder, "folder.png"));
    await assert.rejects(readImageFile(join(folder, "folder.png"), 100), ImageError);
    const large = join(folder, "large.tif");
    await put(folder, "large.tif", "");
    await Deno.truncate(large, 80e6); // a sparse file
    await assert.rejects(readImageFile(large, 1), /80 MB, more than an image of 1 megapixels/);
    assert.equal((await readImageFile(large, 100)).length, 80e6);
  });
});

Deno.test({
  name: "readImageFile() says that the permission is missing",
  ignore: boundByPermissions === null,
  fn: () =>
    inFolder(async (folder) => {
      const path = join(folder, "a.png");
      await put(folder, "a.png", "secret");
      await Deno.chmod(path, 0o000);
      const module = new URL("../../lib/data/open_image.ts", import.meta.url).href;
      await put(
        folder,
        "read.ts",
        `import { readImageFile } from ${JSON.stringify(module)};
        await readImageFile(${JSON.stringify(path)}, 100).catch((e) => console.log(e.reason));`,
      );
      const run = [Deno.execPath(), "run", "-A", "--no-check", "--config", "deno.json"];
      const [command, ...args] = [...boundByPermissions!, ...run, join(folder, "read.ts")];
      const { stdout } = await new Deno.Command(command!, { args }).output();
      assert.equal(new TextDecoder().decode(stdout), "there is no permission to read it.\n");
    }),
});
