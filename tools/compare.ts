import { ConfigError } from "../lib/core/errors.ts";
import { runMain } from "../lib/core/terminal.ts";
import { later, setUp } from "./setup.ts";

const USAGE = `deno task compare RUN RUN …

Tells which runs differ from the first one named by more than chance, by what they predicted for the
same test images (notebook 06). With one RUN it is compared with all tested runs.`;

async function compare(names: readonly string[]): Promise<void> {
  const { readRuns } = await later<typeof import("../lib/run/run.ts")>("lib/run/run.ts");
  const { runs, remarks } = await readRuns();
  const all = runs.filter(({ run, test }) => test && run !== names[0]).map(({ run }) => run);
  const chosen = (names.length > 1 ? [...new Set(names)] : [...names, ...all]).map((name) => {
    const found = runs.find(({ run }) => run === name);
    if (found) return found;
    const why = remarks.find(({ run }) => run === name)?.text ?? "there is no such folder";
    const known = runs.map(({ run }) => run).join(", ") || "none";
    throw new ConfigError(`results/${name}: ${why}.`, `The trained runs are: ${known}.`);
  });
  const path = "lib/metrics/compare.ts";
  const { compareTests } = await later<typeof import("../lib/metrics/compare.ts")>(path);
  const { comparisonTable } = await later<typeof import("../lib/show/tables.ts")>(
    "lib/show/tables.ts",
  );
  const compared = await compareTests(chosen);
  console.log(
    compared ? comparisonTable(compared).text : "There are no two tested runs to compare.",
  );
}

if (import.meta.main) {
  await runMain(async () => {
    if (Deno.args.some((argument) => argument === "--help" || argument === "-h")) {
      return console.log(USAGE);
    }
    const [option] = Deno.args.filter((argument) => argument.startsWith("-"));
    if (option || Deno.args.length === 0) {
      throw new ConfigError(option ? `There is no ${option}.` : "One run must be named.", USAGE);
    }
    await setUp({ sampleImages: false });
    await compare(Deno.args);
  });
}
