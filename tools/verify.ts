import { ConfigError } from "../lib/core/errors.ts";
import { runMain } from "../lib/core/terminal.ts";
import { later, setUp } from "./setup.ts";

const USAGE = `deno task verify [RUN]

Verifies the split of a run (default: "default") from its files and its images, and ends with exit
code 1 when anything was changed since.`;

async function verify(run: string): Promise<number> {
  const { verifyRun } = await later<typeof import("../lib/split/verify.ts")>("lib/split/verify.ts");
  const path = "lib/show/display.ts";
  const { showProgress } = await later<typeof import("../lib/show/display.ts")>(path);
  const { problems, checked, unchecked } = await verifyRun(run, showProgress);
  for (const line of checked) console.log(`checked: ${line}`);
  for (const line of unchecked) console.log(`NOT checked: ${line}`);
  for (const line of problems) console.error(`differs: ${line}`);
  console.log(
    problems.length === 0
      ? `The split of the run ${run} is what its certificate says: nothing crosses subsets.`
      : `The split of the run ${run} is NOT what its certificate says.`,
  );
  return problems.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  await runMain(async () => {
    const [run = "default", ...others] = Deno.args;
    if (run === "--help" || run === "-h") return console.log(USAGE);
    if (others.length > 0 || run.startsWith("-")) {
      throw new ConfigError("One run must be named.", USAGE);
    }
    await setUp({ sampleImages: false });
    return await verify(run);
  });
}
