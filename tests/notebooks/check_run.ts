import { basename, join } from "node:path";
import { runPaths } from "../../lib/core/paths.ts";
import { SYNTHETIC_NOTE } from "../../lib/core/words.ts";
import { makeSampleSet } from "../../tools/sample.ts";
import { add, type Counts, NONE, reportCheck, reportFaults, runDeno } from "../checks.ts";
import { executionFaults, type Notebook } from "./code_cells.ts";

/** Notebooks that show a chart or a picture. */
const WITH_CHART = /^0[2-7]/;

/** Small enough for two cores: what is tested is that everything works, not how well. */
const SETTINGS = [
  "training.epochs=2",
  "training.batchSize=16",
  "model.imageSize=64",
  "model.backbone=efficientnet_lite0", // its weights are there: nothing is downloaded
  "data.groupPattern=(slide_\\d+)",
];

/**
 * The run command on a small sample set, in the real kernel: one check a notebook, then the command
 * itself, its report, and that the evaluate command gives what notebook 07 gave.
 */
export async function checkRun(notebooks: readonly string[]): Promise<Counts> {
  const folder = await Deno.makeTempDir({ prefix: "glomeruli-test-" });
  const run = `test-${Deno.pid}`;
  const paths = runPaths(run);
  try {
    const data = join(folder, "sample");
    const start = performance.now();
    await makeSampleSet(data, { trainCrops: 96, newCrops: 12 });
    console.log(`        small sample set made (${Math.round(performance.now() - start)} ms)`);
    let counts = await checkRunCommand(run, data);
    let reached = true;
    for (const path of notebooks) {
      const result: Counts = reached
        ? await checkNotebook(basename(path), paths.notebooks)
        : skip(`notebook ${basename(path)}`);
      reached &&= result.failed === 0;
      counts = add(counts, result);
    }
    if (!reached) return [skip("report page"), skip("evaluate command")].reduce(add, counts);
    counts = add(counts, await checkReport(paths.report));
    return add(counts, await checkEvaluate(run, data, paths.evaluation, folder));
  } finally {
    for (const path of [folder, paths.results, paths.model]) {
      await Deno.remove(path, { recursive: true }).catch(() => {});
    }
  }
}

async function checkRunCommand(run: string, data: string): Promise<Counts> {
  const start = performance.now();
  const settings = SETTINGS.flatMap((setting) => ["--set", setting]);
  const args = ["--data", data, "--new", join(data, "new"), "--run", run, ...settings];
  return reportFaults("run command", start, await runScript("tools/run.ts", args));
}

async function checkNotebook(name: string, executed: string): Promise<Counts> {
  const start = performance.now();
  const text = await Deno.readTextFile(join(executed, name)).catch(() => null);
  const needs = { chart: WITH_CHART.test(name) };
  const faults = text === null
    ? ["it was not executed"]
    : executionFaults(JSON.parse(text) as Notebook, needs);
  return reportFaults(`notebook ${name}`, start, faults);
}

/** What cannot be checked because a notebook before it failed. */
function skip(name: string): Counts {
  return reportCheck(name, { ...NONE, skipped: 1 }, performance.now());
}

async function checkReport(path: string): Promise<Counts> {
  const start = performance.now();
  const page = await Deno.readTextFile(path).catch(() => "");
  const outside = /<(script|link)\b|(src|href)="(https?:)?\/\//i.exec(page);
  return reportFaults("report page", start, [
    ...(page.includes(SYNTHETIC_NOTE) ? [] : ["it does not say that the images are synthetic"]),
    ...(outside ? [`it refers to something outside: ${outside[0]}`] : []),
  ]);
}

async function checkEvaluate(
  run: string,
  data: string,
  fromNotebook: string,
  folder: string,
): Promise<Counts> {
  const start = performance.now();
  const out = join(folder, "evaluation.csv");
  const args = [join(data, "new"), "--run", run, "--out", out];
  const faults = await runScript("tools/evaluate.ts", args);
  const [expected, found] = await Promise.all(
    [fromNotebook, out].map((path) => Deno.readTextFile(path).catch(() => null)),
  );
  const same = expected !== null && expected === found;
  if (!same) faults.push("evaluation.csv is not that of notebook 07");
  return reportFaults("evaluate command", start, faults);
}

/** Runs one of the project's commands, showing its lines as they come; gives the last if it fails. */
async function runScript(script: string, args: readonly string[]): Promise<string[]> {
  const show = (line: string) => console.log(`        ${line}`);
  const { success, output } = await runDeno(["run", "-A", "--no-check", script, ...args], show);
  return success ? [] : output.split("\n").slice(-15);
}
