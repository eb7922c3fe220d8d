import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import {
  type CachedImage,
  isUnchanged,
  type ReadImage,
  readImages,
  readScanCache,
  scanCachePath,
  type Stamp,
  writeScanCache,
} from "../../lib/data/read_images.ts";
import { inFolder, picture, put } from "./test_images.ts";

const MAX = 100;

const png = (seed: number) => picture(seed).png().toBuffer();

/** Files of one size, whatever they show. */
const flat = (seed: number) => picture(seed).tiff({ compression: "none" }).toBuffer();

/** A folder with images in it, and the path of a cache beside them. */
const withImages = (test: (folder: string, cachePath: string) => Promise<void>) =>
  inFolder(async (parent) => {
    const folder = join(parent, "images");
    for (const [i, name] of ["a.png", "b.png", "c.png"].entries()) {
      await put(folder, name, await png(i));
    }
    await test(folder, join(parent, "cache.jsonl"));
  });

const read = (folder: string, cachePath: string | null, paths = ["a.png", "b.png", "c.png"]) =>
  readImages(folder, paths, { maxMegapixels: MAX, cachePath, onProgress: () => {} });

/** What {@linkcode readImages} returns, without what the cache adds to it. */
const plain = (images: readonly ReadImage[]) =>
  images.map(({ sha256, look, error }) => ({ sha256, look, error }));

/** Rewrites the cache as if its files had been old when they were read, each look marked. */
async function markAsTrusted(cachePath: string): Promise<void> {
  const images = await readScanCache(cachePath, MAX);
  const marked = images.map((image): CachedImage => ({
    ...image,
    stamp: { ...image.stamp, asked: image.stamp.asked + 60_000 },
    look: { ...image.look, width: 999 },
  }));
  await writeScanCache(cachePath, marked, MAX);
}

const widths = (images: readonly ReadImage[]) => images.map(({ look }) => look?.width);

Deno.test("readImages() returns the same with a cache, old or new, and without", () =>
  withImages(async (folder, cachePath) => {
    await put(folder, "bad.png", "no image");
    const paths = ["a.png", "bad.png", "b.png", "gone.png"];
    const without = plain(await read(folder, null, paths));
    assert.deepEqual(plain(await read(folder, cachePath, paths)), without);
    assert.deepEqual(plain(await read(folder, cachePath, paths)), without);
    assert.equal(without[1]!.error, "it is a text file, whatever its name says.");
    assert.match(without[3]!.error, /not there/);
    assert.deepEqual([without[0]!.error, without[3]!.sha256, without[3]!.look], ["", "", null]);
  }));

Deno.test("readImages() opens no file that is as it was", () =>
  withImages(async (folder, cachePath) => {
    await read(folder, cachePath);
    await markAsTrusted(cachePath);
    assert.deepEqual(widths(await read(folder, cachePath)), [999, 999, 999]);
  }));

Deno.test("readImages() does not decode a file again that was touched, renamed or copied", () =>
  withImages(async (folder, cachePath) => {
    await read(folder, cachePath);
    await markAsTrusted(cachePath);
    await Deno.utime(join(folder, "a.png"), 1e9, 1e9);
    await Deno.rename(join(folder, "b.png"), join(folder, "renamed.png"));
    await Deno.copyFile(join(folder, "c.png"), join(folder, "copy.png"));
    const paths = ["a.png", "c.png", "copy.png", "renamed.png"];
    assert.deepEqual(widths(await read(folder, cachePath, paths)), [999, 999, 999, 999]);
    const kept = (await readScanCache(cachePath, MAX)).map(({ path }) => path);
    assert.deepEqual(kept.sort(), paths); // what is gone is forgotten
  }));

Deno.test("readImages() sees a change though size and time are put back", () =>
  withImages(async (folder, cachePath) => {
    const path = join(folder, "a.png");
    const old = new Date("2020-01-01");
    const bytes = [await flat(7), await flat(8)];
    assert.equal(bytes[0]!.length, bytes[1]!.length);
    await Deno.writeFile(path, bytes[0]!);
    await Deno.utime(path, old, old);
    const before = await read(folder, cachePath, ["a.png"]);
    await Deno.writeFile(path, bytes[1]!);
    await Deno.utime(path, old, old);
    const after = await read(folder, cachePath, ["a.png"]);
    assert.notEqual(after[0]!.sha256, before[0]!.sha256);
    assert.deepEqual(plain(after), plain(await read(folder, null, ["a.png"])));
  }));

Deno.test("readImages() does without a cache that cannot be written", () =>
  withImages(async (folder) => {
    const images = await read(folder, join(folder, "a.png", "cache.jsonl"));
    assert.deepEqual(plain(images), plain(await read(folder, null)));
  }));

Deno.test("readImages() keeps what it has read when it is stopped", () =>
  withImages(async (folder, cachePath) => {
    const onProgress = (done: number) => {
      if (done === 2) throw new Error("stopped");
    };
    const options = { maxMegapixels: MAX, cachePath, onProgress };
    await assert.rejects(readImages(folder, ["a.png", "b.png", "c.png"], options), /stopped/);
    assert.ok((await readScanCache(cachePath, MAX)).length >= 2);
  }));

Deno.test("readScanCache() returns what writeScanCache() wrote, names of any kind too", () =>
  withImages(async (folder, cachePath) => {
    await read(folder, cachePath);
    const [image] = await readScanCache(cachePath, MAX);
    const images = ["a.png", 'q"\n.png', "é😀.png"].map((path) => ({ ...image!, path }));
    await writeScanCache(cachePath, images, MAX);
    assert.deepEqual(await readScanCache(cachePath, MAX), images);
    assert.ok(image!.look.fingerprint.thumbnail instanceof Uint8Array);
    await writeScanCache(cachePath, [], MAX);
    assert.deepEqual(await readScanCache(cachePath, MAX), []);
  }));

Deno.test("readScanCache() believes no cache with a changed or missing byte", () =>
  withImages(async (folder, cachePath) => {
    await read(folder, cachePath);
    const good = await Deno.readFile(cachePath);
    const damage = fc.oneof(
      fc.integer({ min: 0, max: good.length - 2 }).map((at) => good.subarray(0, at)),
      fc.tuple(fc.integer({ min: 0, max: good.length - 2 }), fc.integer({ min: 1, max: 255 })).map(
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
    assert.deepEqual(await readScanCache(join(folder, "none.jsonl"), MAX), []);
  }));

Deno.test("readScanCache() does not take looks of another limit or version of the code", () =>
  withImages(async (folder, cachePath) => {
    await read(folder, cachePath);
    assert.equal((await readScanCache(cachePath, MAX)).length, 3);
    assert.deepEqual(await readScanCache(cachePath, MAX + 1), []);
  }));

Deno.test("isUnchanged() trusts only files that were old when they were read", () => {
  const stamp = (change: Partial<Stamp> = {}): Stamp => ({
    size: 10,
    mtime: 50_000,
    ctime: 60_000,
    asked: 90_000,
    ...change,
  });
  const now = (change: Partial<Stamp> = {}) => stamp({ asked: 500_000, ...change });
  assert.equal(isUnchanged(stamp(), now()), true);
  assert.equal(isUnchanged(stamp({ ctime: null }), now({ ctime: null })), true);
  assert.equal(isUnchanged(stamp(), now({ size: 11 })), false);
  assert.equal(isUnchanged(stamp(), now({ mtime: 50_001 })), false);
  assert.equal(isUnchanged(stamp(), now({ ctime: 61_000 })), false);
  assert.equal(isUnchanged(stamp({ asked: 61_999 }), now()), false);
  assert.equal(isUnchanged(stamp({ mtime: null }), now({ mtime: null })), false);
});

Deno.test("scanCachePath() is one file a folder, outside all runs", () => {
  assert.equal(scanCachePath("/data/x/"), scanCachePath("/data/y/../x"));
  assert.notEqual(scanCachePath("/data/x"), scanCachePath("/data/y"));
  assert.match(scanCachePath("/data/x"), /results[/\\]\.scan_cache[/\\][0-9a-f]{16}\.jsonl$/);
});
