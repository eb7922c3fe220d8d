import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type CachedImage,
  type ReadImage,
  readImages,
  readScanCache,
  scanCachePath,
  writeScanCache,
} from "../../lib/data/read_images.ts";
import { inFolder, picture, put } from "./test_images.ts";

const MAX = 100;

const NAMES = ["a.png", "b.png", "c.png"];

/** A folder with images in it, and the path of a cache beside them. */
const withImages = (test: (folder: string, cachePath: string) => Promise<void>) =>
  inFolder(async (parent) => {
    const folder = join(parent, "images");
    for (const [i, name] of NAMES.entries()) {
      await put(folder, name, await picture(i).png().toBuffer());
    }
    await test(folder, join(parent, "cache.jsonl"));
  });

const read = (folder: string, cachePath: string | null, paths = NAMES) =>
  readImages(folder, paths, { maxMegapixels: MAX, cachePath, onProgress: () => {} });

/** Reads as if it were a minute later: the files are old enough to be trusted. */
async function readLater(folder: string, cachePath: string, paths = NAMES): Promise<ReadImage[]> {
  const now = Date.now;
  Date.now = () => now() + 60_000;
  try {
    return await read(folder, cachePath, paths);
  } finally {
    Date.now = now;
  }
}

/** Changes what the cache says of every image, so that what comes from it can be told. */
async function mark(cachePath: string, change: Partial<CachedImage> = {}): Promise<void> {
  const marked = (await readScanCache(cachePath, MAX))
    .map((image) => ({ ...image, look: { ...image.look, width: 999 }, ...change }));
  await writeScanCache(cachePath, marked, MAX);
}

const widths = (images: readonly ReadImage[]) => images.map(({ look }) => look?.width);

Deno.test("readImages() returns the same with a cache, old or new, and without", () =>
  withImages(async (folder, cachePath) => {
    await put(folder, "bad.png", "no image");
    const paths = ["a.png", "bad.png", "b.png", "gone.png"];
    const without = await read(folder, null, paths);
    for (let time = 0; time < 2; time++) {
      assert.deepEqual(await readLater(folder, cachePath, paths), without);
    }
    assert.equal(without[1]!.error, "it is a text file, whatever its name says.");
    assert.match(without[3]!.error, /not there/);
    assert.deepEqual([without[0]!.error, without[3]!.sha256, without[3]!.look], ["", "", null]);
  }));

Deno.test("readImages() opens no file that is as it was, and was old when it was read", () =>
  withImages(async (folder, cachePath) => {
    await readLater(folder, cachePath);
    await mark(cachePath, { sha256: "remembered" });
    assert.deepEqual(widths(await readLater(folder, cachePath)), [999, 999, 999]);
    assert.deepEqual(widths(await read(folder, cachePath)), [72, 72, 72]); // changed just now
    await mark(cachePath, { sha256: "remembered" });
    assert.deepEqual(widths(await readLater(folder, cachePath)), [72, 72, 72]);
  }));

Deno.test("readImages() does not decode a file again that was touched, renamed or copied", () =>
  withImages(async (folder, cachePath) => {
    await readLater(folder, cachePath);
    await mark(cachePath);
    await Deno.utime(join(folder, "a.png"), 1e9, 1e9);
    await Deno.rename(join(folder, "b.png"), join(folder, "renamed.png"));
    await Deno.copyFile(join(folder, "c.png"), join(folder, "copy.png"));
    const paths = ["a.png", "c.png", "copy.png", "renamed.png"];
    assert.deepEqual(widths(await readLater(folder, cachePath, paths)), [999, 999, 999, 999]);
    const kept = (await readScanCache(cachePath, MAX)).map(({ path }) => path);
    assert.deepEqual(kept.sort(), paths); // what is gone is forgotten
  }));

Deno.test("readImages() sees a change though size and time are put back", () =>
  withImages(async (folder, cachePath) => {
    const path = join(folder, "a.png");
    const write = async (seed: number) => {
      const bytes = await picture(seed).tiff({ compression: "none" }).toBuffer(); // of one size
      await Deno.writeFile(path, bytes);
      await Deno.utime(path, 1e9, 1e9);
      return bytes.length;
    };
    const size = await write(7);
    const before = await read(folder, cachePath, ["a.png"]);
    assert.equal(await write(8), size);
    const after = await read(folder, cachePath, ["a.png"]);
    assert.notEqual(after[0]!.sha256, before[0]!.sha256);
    assert.deepEqual(after, await read(folder, null, ["a.png"]));
  }));

Deno.test("readImages() does without a cache that cannot be written", () =>
  withImages(async (folder) => {
    const images = await read(folder, join(folder, "a.png", "cache.jsonl"));
    assert.deepEqual(images, await read(folder, null));
  }));

Deno.test("readImages() keeps what it has read when it is stopped", () =>
  withImages(async (folder, cachePath) => {
    const onProgress = (done: number) => {
      if (done === 2) throw new Error("stopped");
    };
    const options = { maxMegapixels: MAX, cachePath, onProgress };
    await assert.rejects(readImages(folder, NAMES, options), /stopped/);
    assert.ok((await readScanCache(cachePath, MAX)).length >= 2);
  }));

Deno.test("readScanCache() returns what writeScanCache() wrote, names of any kind too", () =>
  withImages(async (folder, cachePath) => {
    await read(folder, cachePath);
    const [image] = await readScanCache(cachePath, MAX);
    const images = ["a.png", 'q"\n.png', "é😀.png"].map((path) => ({ ...image!, path }));
    for (const kept of [images, []]) {
      await writeScanCache(cachePath, kept, MAX);
      assert.deepEqual(await readScanCache(cachePath, MAX), kept);
    }
  }));

Deno.test("readScanCache() believes no cache with a changed or missing byte, or of another limit", () =>
  withImages(async (folder, cachePath) => {
    await read(folder, cachePath);
    assert.equal((await readScanCache(cachePath, MAX)).length, 3);
    assert.deepEqual(await readScanCache(cachePath, MAX + 1), []);
    assert.deepEqual(await readScanCache(join(folder, "none.jsonl"), MAX), []);
    const good = await Deno.readFile(cachePath);
    const at = fc.integer({ min: 0, max: good.length - 2 });
    const damage = fc.oneof(
      at.map((end) => good.subarray(0, end)),
      fc.tuple(at, fc.integer({ min: 1, max: 255 })).map(
        ([at, change]) => good.with(at, good[at]! ^ change),
      ),
    );
    await fc.assert(
      fc.asyncProperty(damage, async (bytes) => {
        await Deno.writeFile(cachePath, bytes);
        assert.deepEqual(await readScanCache(cachePath, MAX), []);
      }),
      { seed: 3, numRuns: 100 },
    );
  }));

Deno.test("scanCachePath() is one file a folder, outside all runs", () => {
  assert.equal(scanCachePath("/data/x/"), scanCachePath("/data/y/../x"));
  assert.notEqual(scanCachePath("/data/x"), scanCachePath("/data/y"));
  assert.match(scanCachePath("/data/x"), /results[/\\]\.scan_cache[/\\][0-9a-f]{16}\.jsonl$/);
});
