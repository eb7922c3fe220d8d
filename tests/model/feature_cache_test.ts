import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import { type FeatureCache, openFeatureCache } from "../../lib/model/feature_cache.ts";
import { inFolder } from "../data/test_images.ts";

const RECORD = 1000;

const BUDGET = 1e6;

const name = (digit: string) => digit.repeat(64);

const record = (value: number) => new Float16Array(RECORD / 2).fill(value);

const some = (...values: number[]) =>
  new Map(values.map((value) => [`image ${value}`, record(value)]));

/** Opens a cache that keeps nothing in memory. */
async function withCache(
  folder: string,
  use: (cache: FeatureCache) => Promise<void>,
  diskBytes = BUDGET,
): Promise<void> {
  const cache = await openFeatureCache({ folder, values: RECORD / 2, memoryBytes: 0, diskBytes });
  try {
    await use(cache);
  } finally {
    await cache.close();
  }
}

async function fileIn(folder: string, ending: string): Promise<string> {
  for await (const { name } of Deno.readDir(folder)) {
    if (name.endsWith(ending)) return join(folder, name);
  }
  throw new Error(`no ${ending} file`);
}

/** Declares a test with a place for one cache. */
const test = (title: string, body: (folder: string) => Promise<void>) =>
  Deno.test(title, () => inFolder((root) => body(join(root, name("a")))));

/** Asserts that the cache has these records. */
async function holds(cache: FeatureCache, ...values: number[]): Promise<void> {
  for (const value of values) assert.deepEqual(await cache.read(`image ${value}`), record(value));
}

test("openFeatureCache() finds what an earlier process added", async (folder) => {
  await withCache(folder, async (cache) => {
    await cache.add(some(1, 2, 3));
    assert.equal(cache.problem(), null);
    await holds(cache, 2);
  });
  await withCache(folder, async (cache) => {
    assert.equal(await cache.read("image 4"), null);
    await cache.add(some(4));
    await holds(cache, 3, 4);
  });
});

test("openFeatureCache() lets two processes add to one folder at a time", async (folder) => {
  await withCache(folder, (first) =>
    withCache(folder, async (second) => {
      await Promise.all([first.add(some(1, 2)), second.add(some(2, 3))]);
    }));
  await withCache(folder, (cache) => holds(cache, 1, 2, 3));
});

Deno.test("openFeatureCache() never gives a record that was cut off by a kill", () =>
  fc.assert(
    fc.asyncProperty(fc.nat(3 * RECORD), fc.nat(3 * 36), async (dataBytes, keyBytes) => {
      await inFolder(async (root) => {
        const folder = join(root, name("a"));
        await withCache(folder, (cache) => cache.add(some(1, 2, 3)));
        await Deno.truncate(await fileIn(folder, ".bin"), dataBytes);
        await Deno.truncate(await fileIn(folder, ".keys"), keyBytes);
        await withCache(folder, async (cache) => {
          const whole = Math.min(Math.floor(dataBytes / RECORD), Math.floor(keyBytes / 36));
          for (const value of [1, 2, 3]) {
            const expected = value <= whole ? record(value) : null;
            assert.deepEqual(await cache.read(`image ${value}`), expected);
          }
          await cache.add(some(1, 2, 3));
          await holds(cache, 1, 2, 3);
        });
      });
    }),
    { seed: 1, numRuns: 30 },
  ));

test("openFeatureCache() has a damaged record made again", async (folder) => {
  await withCache(folder, (cache) => cache.add(some(1, 2)));
  const path = await fileIn(folder, ".bin");
  const bytes = await Deno.readFile(path);
  bytes[RECORD + 7]! ^= 1;
  await Deno.writeFile(path, bytes);
  await withCache(folder, async (cache) => {
    await holds(cache, 1);
    assert.equal(await cache.read("image 2"), null);
    await cache.add(some(2));
    await holds(cache, 2);
  });
});

test("openFeatureCache() says when the budget is used up and keeps what it has", async (folder) => {
  await withCache(folder, async (cache) => {
    await cache.add(some(1, 2));
    assert.equal(cache.problem(), null);
    await cache.add(some(3, 4));
    assert.match(cache.problem()!, /training\.cacheGigabytes/);
    await holds(cache, 2);
    assert.equal(await cache.read("image 3"), null);
  }, 3500);
});

Deno.test("openFeatureCache() removes the cache that was unused for longest, and nothing else", () =>
  inFolder(async (root) => {
    for (const [digit, age] of [["a", 3], ["b", 2]] as const) {
      await withCache(join(root, name(digit)), (cache) => cache.add(some(1)));
      const then = new Date(Date.now() - age * 1e6);
      await Deno.utime(join(root, name(digit)), then, then);
    }
    await Deno.mkdir(join(root, "mine"));
    await Deno.writeTextFile(join(root, "mine", "notes.txt"), "mine");
    await withCache(join(root, name("c")), async (cache) => {
      await cache.add(some(1));
      assert.equal(cache.problem(), null);
    }, 2500);
    const left = (await Array.fromAsync(Deno.readDir(root))).map(({ name }) => name[0]).sort();
    assert.deepEqual(left, ["b", "c", "m"]);
  }));
