import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { type FeatureStore, openFeatureStore } from "../../lib/training/feature_cache.ts";
import { inFolder } from "../data/test_images.ts";

const RECORD = 1000;

const BUDGET = 1e6;

const name = (digit: string) => digit.repeat(64);

const record = (value: number) => new Uint8Array(RECORD).fill(value);

const some = (...values: number[]) =>
  new Map(values.map((value) => [`image ${value}`, record(value)]));

async function withStore(
  folder: string,
  use: (store: FeatureStore) => Promise<void>,
  budgetBytes = BUDGET,
): Promise<void> {
  const store = await openFeatureStore(folder, { recordBytes: RECORD, budgetBytes });
  try {
    await use(store);
  } finally {
    await store.close();
  }
}

async function fileIn(folder: string, ending: string): Promise<string> {
  for await (const { name } of Deno.readDir(folder)) {
    if (name.endsWith(ending)) return join(folder, name);
  }
  throw new Error(`no ${ending} file`);
}

Deno.test("openFeatureStore() finds what an earlier process added", () =>
  inFolder(async (root) => {
    const folder = join(root, name("a"));
    await withStore(folder, async (store) => {
      assert.equal(await store.add(some(1, 2, 3)), null);
      assert.deepEqual(await store.read("image 2"), record(2));
    });
    await withStore(folder, async (store) => {
      assert.equal(store.has("image 4"), false);
      await store.add(some(4));
      assert.deepEqual(await store.read("image 3"), record(3));
      assert.deepEqual(await store.read("image 4"), record(4));
    });
  }));

Deno.test("openFeatureStore() lets two processes add to one folder at a time", () =>
  inFolder(async (root) => {
    const folder = join(root, name("a"));
    await withStore(folder, (first) =>
      withStore(folder, async (second) => {
        await Promise.all([first.add(some(1, 2)), second.add(some(2, 3))]);
      }));
    await withStore(folder, async (store) => {
      for (const value of [1, 2, 3]) {
        assert.deepEqual(await store.read(`image ${value}`), record(value));
      }
    });
  }));

Deno.test("openFeatureStore() never gives a record that was cut off by a kill", () =>
  fc.assert(
    fc.asyncProperty(fc.nat(3 * RECORD), fc.nat(3 * 36), async (dataBytes, keyBytes) => {
      await inFolder(async (root) => {
        const folder = join(root, name("a"));
        await withStore(folder, async (store) => void await store.add(some(1, 2, 3)));
        await Deno.truncate(await fileIn(folder, ".bin"), dataBytes);
        await Deno.truncate(await fileIn(folder, ".keys"), keyBytes);
        await withStore(folder, async (store) => {
          const whole = Math.min(Math.floor(dataBytes / RECORD), Math.floor(keyBytes / 36));
          for (const value of [1, 2, 3]) {
            const expected = value <= whole ? record(value) : null;
            assert.deepEqual(await store.read(`image ${value}`), expected);
          }
          await store.add(some(1, 2, 3));
          for (const value of [1, 2, 3]) {
            assert.deepEqual(await store.read(`image ${value}`), record(value));
          }
        });
      });
    }),
    { seed: 1, numRuns: 30 },
  ));

Deno.test("openFeatureStore() has a damaged record made again", () =>
  inFolder(async (root) => {
    const folder = join(root, name("a"));
    await withStore(folder, async (store) => void await store.add(some(1, 2)));
    const path = await fileIn(folder, ".bin");
    const bytes = await Deno.readFile(path);
    bytes[RECORD + 7]! ^= 1;
    await Deno.writeFile(path, bytes);
    await withStore(folder, async (store) => {
      assert.deepEqual(await store.read("image 1"), record(1));
      assert.equal(await store.read("image 2"), null);
      await store.add(some(2));
      assert.deepEqual(await store.read("image 2"), record(2));
    });
  }));

Deno.test("openFeatureStore() says when the budget is used up and keeps what it has", () =>
  inFolder(async (root) => {
    await withStore(join(root, name("a")), async (store) => {
      assert.equal(await store.add(some(1, 2)), null);
      assert.match(await store.add(some(3, 4)) ?? "", /training\.cacheGigabytes/);
      assert.deepEqual(await store.read("image 2"), record(2));
      assert.equal(store.has("image 3"), false);
    }, 3500);
  }));

Deno.test("openFeatureStore() removes the store that was unused for longest, and nothing else", () =>
  inFolder(async (root) => {
    for (const [digit, age] of [["a", 3], ["b", 2]] as const) {
      await withStore(join(root, name(digit)), async (store) => void await store.add(some(1)));
      const then = new Date(Date.now() - age * 1e6);
      await Deno.utime(join(root, name(digit)), then, then);
    }
    await Deno.mkdir(join(root, "mine"));
    await Deno.writeFile(join(root, "mine", "notes.txt"), record(0));
    await withStore(join(root, name("c")), async (store) => {
      assert.equal(await store.add(some(1)), null);
    }, 2500);
    const left = (await Array.fromAsync(Deno.readDir(root))).map(({ name }) => name[0]).sort();
    assert.deepEqual(left, ["b", "c", "m"]);
  }));
