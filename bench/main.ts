import { join } from "node:path";
import { ConfigError } from "../lib/core/errors.ts";
import { projectRoot } from "../lib/core/paths.ts";
import { runMain } from "../lib/core/terminal.ts";
import { setUp } from "../tools/setup.ts";
import type { BenchRow } from "./row.ts";

/** Every benchmark by name, loaded when its turn comes: set-up has to be first. */
const BENCHES: Readonly<Record<string, () => Promise<BenchRow[]>>> = {
  audit: async () => await (await import(import.meta.resolve("./audit.ts"))).auditBench(),
  decode: async () => await (await import(import.meta.resolve("./decode.ts"))).decodeBench(),
  growth: async () => await (await import(import.meta.resolve("./train.ts"))).growthBench(),
  idle: async () => await (await import(import.meta.resolve("./idle.ts"))).idleBench(),
  predict: async () => await (await import(import.meta.resolve("./predict.ts"))).predictBench(),
  train: async () => await (await import(import.meta.resolve("./train.ts"))).trainBench(),
};

const USAGE = `deno task bench [${Object.keys(BENCHES).join("] [")}]

Measures beside Python on this machine, one after another, and writes results/bench.json. Leave the
machine alone meanwhile. Without names all are run.`;

async function bench(names: readonly string[]): Promise<void> {
  const { writeJson } = await import(
    import.meta.resolve("../lib/core/files.ts")
  ) as typeof import("../lib/core/files.ts");
  const rows: BenchRow[] = [];
  for (const name of names) {
    console.log(`\n${name} …`);
    const own = await BENCHES[name]!();
    for (const row of own) console.log(describe(row));
    rows.push(...own);
  }
  const path = join(projectRoot, "results", "bench.json");
  await writeJson(path, rows);
  console.log(`\n${path}`);
}

/** A row as one line: minimum, median and maximum, the peer's beside them. */
function describe({ name, unit, ours, peer, ratio, target, met, note }: BenchRow): string {
  const three = ({ min, median, max }: typeof ours) =>
    [min, median, max].map((value) => value.toPrecision(3)).join(" / ");
  const beside = peer ? `; ${peer.name} ${three(peer)}; ours ÷ theirs ${ratio!.toFixed(2)}` : "";
  const verdict = target === null ? "" : `; target ${target}: ${met ? "met" : "NOT met"}`;
  return `  ${name}: ${three(ours)} ${unit}${beside}${verdict}${note ? ` (${note})` : ""}`;
}

if (import.meta.main) {
  await runMain(async () => {
    const names = Deno.args.length > 0 ? Deno.args : Object.keys(BENCHES);
    if (names.includes("--help") || names.includes("-h")) return console.log(USAGE);
    const unknown = names.filter((name) => !Object.hasOwn(BENCHES, name));
    if (unknown.length > 0) {
      throw new ConfigError(`There is no bench ${unknown.join(", ")}.`, USAGE);
    }
    await setUp({ sampleImages: false });
    await bench(names);
  });
}
