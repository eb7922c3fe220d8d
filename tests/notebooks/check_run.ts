import { basename, join } from "node:path";
import { exists } from "../../lib/core/files.ts";
import { projectRoot, runPaths } from "../../lib/core/paths.ts";
import { textLines } from "../../lib/core/terminal.ts";
import { SYNTHETIC_NOTE } from "../../lib/core/words.ts";
import { makeSampleSet } from "../../tools/sample.ts";
import { add, type Counts, FAILED, NONE, PASSED, reportCheck } from "../checks.ts";
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
  const { success, output } = await runScript("tools/run.ts", [
    "--data",
    data,
    "--new",
    join(data, "new"),
    "--run",
    run,
    ...SETTINGS.flatMap((setting) => ["--set", setting]),
  ]);
  return reportCheck("run command", success ? PASSED : FAILED, start, output);
}

async function checkNotebook(name: string, executed: string): Promise<Counts> {
  const start = performance.now();
  const path = join(executed, name);
  const faults = await exists(path)
    ? executionFaults(JSON.parse(await Deno.readTextFile(path)) as Notebook, {
      chart: WITH_CHART.test(name),
    })
    : ["it was not executed"];
  const counts = faults.length === 0 ? PASSED : FAILED;
  return reportCheck(`notebook ${name}`, counts, start, faults.join("\n"));
}

/** What cannot be checked because a notebook before it failed. */
function skip(name: string): Counts {
  return reportCheck(name, { ...NONE, skipped: 1 }, performance.now());
}

async function checkReport(path: string): Promise<Counts> {
  const start = performance.now();
  const page = await Deno.readTextFile(path).catch(() => "");
  const faults = [
    ...(page.includes(SYNTHETIC_NOTE) ? [] : ["it does not say that the images are synthetic"]),
    ...(/<(script|link)\b|(src|href)="(https?:)?\/\//i.exec(page) ?? []).slice(0, 1)
      .map((found) => `it refers to something outside: ${found}`),
  ];
  const counts = page !== "" && faults.length === 0 ? PASSED : FAILED;
  return reportCheck("report page", counts, start, faults.join("\n"));
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
  const { success, output } = await runScript("tools/evaluate.ts", args);
  const [expected, found] = await Promise.all(
    [fromNotebook, out].map((path) => Deno.readTextFile(path).catch(() => null)),
  );
  const same = success && expected !== null && expected === found;
  const details = same ? "" : `${output}\nevaluation.csv is not that of notebook 07`;
  return reportCheck("evaluate command", same ? PASSED : FAILED, start, details);
}

/** Runs one of the project's commands, showing its lines as they come. */
async function runScript(
  script: string,
  args: readonly string[],
): Promise<{ success: boolean; output: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(projectRoot, script), ...args],
    cwd: projectRoot,
    env: { NO_COLOR: "1", TF_CPP_MIN_LOG_LEVEL: "2", INIT_CWD: projectRoot },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    for await (const line of textLines(stream)) {
      console.log(`        ${line}`);
      lines.push(line);
    }
  };
  const [status] = await Promise.all([
    child.status,
    collect(child.stdout),
    collect(child.stderr),
  ]);
  return { success: status.success, output: lines.slice(-15).join("\n") };
}
