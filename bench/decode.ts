import { join } from "node:path";
import { batches } from "../lib/images/decode.ts";
import { writeCrops } from "./crops.ts";
import { startPython } from "./python.ts";
import { type BenchRow, benchRow } from "./row.ts";

const IMAGES = 128;

const REPEATS = 3;

const CORES = navigator.hardwareConcurrency;

/**
 * Milliseconds of one core for an image, decoded to 224 × 224: ours and tf.data on all cores, Pillow
 * on one, in turn.
 */
export async function decodeBench(): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const format of ["png", "jpeg"] as const) {
    const folder = await Deno.makeTempDir();
    try {
      const paths = await writeCrops(folder, IMAGES, format);
      await using python = startPython([
        join(import.meta.dirname!, "decode.py"),
        `${CORES}`,
        ...paths,
      ]);
      const options = { batchSize: 32, size: 224, resize: "squash", maxMegapixels: 100 } as const;
      const times = { ours: [] as number[], pillow: [] as number[], tf: [] as number[] };
      const perImage = (seconds: number, cores: number) => 1000 * seconds * cores / IMAGES;
      for (let repeat = 0; repeat <= REPEATS; repeat++) {
        const start = performance.now();
        for await (const _ of batches(paths, options));
        const ours = perImage((performance.now() - start) / 1000, CORES);
        const pillow = perImage(Number(await python.ask("pillow")), 1);
        const tf = perImage(Number(await python.ask("tf")), CORES);
        if (repeat === 0) continue; // warms up
        times.ours.push(ours);
        times.pillow.push(pillow);
        times.tf.push(tf);
      }
      const name = `decode 700×730 ${format === "png" ? "RGBA PNG" : "JPEG"}`;
      const unit = "core-ms an image";
      rows.push(
        benchRow({ name, unit, ours: times.ours, peer: { name: "Pillow", values: times.pillow } }),
        benchRow({ name, unit, ours: times.ours, peer: { name: "tf.data", values: times.tf } }),
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  return rows;
}
