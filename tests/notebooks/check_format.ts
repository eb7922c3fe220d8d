import { basename, join } from "node:path";
import { type Counts, reportFaults, runDeno } from "../checks.ts";

/**
 * Checks that formatting the notebooks would change nothing, on copies.
 *
 * `deno fmt --check` cannot be asked: of Deno 2.9.6, it calls every notebook unformatted that its
 * cache does not know, also one that `deno fmt` leaves as it is.
 */
export async function checkFormat(paths: readonly string[]): Promise<Counts> {
  const start = performance.now();
  const folder = await Deno.makeTempDir();
  try {
    const copies = paths.map((path) => join(folder, basename(path)));
    for (const [i, path] of paths.entries()) await Deno.copyFile(path, copies[i]!);
    const { success, output } = await runDeno(["fmt", "--quiet", "--line-width=100", ...copies]);
    const faults = success ? [] : [output];
    for (const [i, path] of paths.entries()) {
      const [before, after] = await Promise.all(
        [path, copies[i]!].map((p) => Deno.readTextFile(p)),
      );
      if (before !== after) faults.push(`${basename(path)}: run \`deno fmt\``);
    }
    return reportFaults("formatting of the notebooks", start, faults);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
