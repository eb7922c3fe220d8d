import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import sharp from "sharp";
import { parseConfig } from "../lib/core/config.ts";
import { mapAhead } from "../lib/core/long_work.ts";
import { createRandom } from "../lib/core/random.ts";
import { DECODES_IN_FLIGHT } from "../lib/data/open_image.ts";
import { scanDataset } from "../lib/data/scan.ts";
import { type BenchRow, benchRow } from "./row.ts";

const [FEW, MANY] = [1000, 10_000];

const REPETITIONS = 3;

const SIDE = 128;

/** Pixels of the random pictures before they are enlarged: no two are alike. */
const GRAIN = 12;

/** Seconds of a scan with nothing remembered, and of the same scan again. */
interface Times {
  cold: number[];
  cached: number[];
}

/**
 * The audit of a folder of small images (128 px, JPEG and PNG, all different): everything that
 * notebook 02 does about an image before it shows it. Decoding is by far the largest part, so that
 * larger images take longer in proportion to their pixels; the growth from 1,000 to 10,000 images
 * is what the search for near-duplicates could spoil.
 */
export async function auditBench(): Promise<BenchRow[]> {
  const few = await timeAudit(FEW, REPETITIONS);
  const many = await timeAudit(MANY, 1);
  const row = (images: number, kind: keyof Times, times: Times, note: string) =>
    benchRow({
      name: `audit of ${images.toLocaleString("en-GB")} images, ${note}`,
      unit: "s",
      ours: times[kind],
      note: `${
        Math.round(images / Math.min(...times[kind])).toLocaleString("en-GB")
      } images a second`,
    });
  const growth = (kind: keyof Times) =>
    Math.min(...many[kind]) / Math.min(...few[kind]) * FEW / MANY;
  return [
    row(FEW, "cold", few, "nothing remembered"),
    row(FEW, "cached", few, "unchanged"),
    row(MANY, "cold", many, "nothing remembered"),
    row(MANY, "cached", many, "unchanged"),
    benchRow({
      name: "audit time an image, of 10,000 beside 1,000",
      unit: "×",
      ours: [growth("cold")],
      target: 1.3,
      note: `1 is linear growth; ${growth("cached").toFixed(2)} when nothing has changed`,
    }),
  ];
}

async function timeAudit(images: number, repetitions: number): Promise<Times> {
  const folder = await Deno.makeTempDir({ prefix: "glomeruli-bench-" });
  try {
    const { data } = parseConfig({});
    await writeImages(join(folder, "data"), images, data.classes);
    await delay(2500); // files that have just been written are not believed to be unchanged
    const times: Times = { cold: [], cached: [] };
    for (let repetition = 0; repetition < repetitions; repetition++) {
      const cachePath = join(folder, `cache_${repetition}.jsonl`);
      for (const kind of ["cold", "cached"] as const) {
        const start = performance.now();
        await scanDataset(join(folder, "data"), data, { cachePath });
        times[kind].push((performance.now() - start) / 1000);
      }
    }
    return times;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function writeImages(folder: string, count: number, classes: string[]): Promise<void> {
  for (const label of classes) await Deno.mkdir(join(folder, label), { recursive: true });
  const random = createRandom("bench/audit");
  const write = async (i: number): Promise<void> => {
    const grain = Uint8Array.from({ length: GRAIN * GRAIN * 3 }, () => random.integer(256));
    const image = sharp(grain, { raw: { width: GRAIN, height: GRAIN, channels: 3 } })
      .resize(SIDE, SIDE, { kernel: "cubic" });
    const [extension, encoded] = i % 2 === 0
      ? ["png", image.png()] as const
      : ["jpg", image.jpeg()] as const;
    const path = join(folder, classes[i % classes.length]!, `${i}.${extension}`);
    await Deno.writeFile(path, await encoded.toBuffer());
  };
  const pace = { inFlight: DECODES_IN_FLIGHT, ahead: 4 * DECODES_IN_FLIGHT };
  for await (const _ of mapAhead(Array(count).keys(), write, pace));
}
