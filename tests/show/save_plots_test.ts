import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { projectRoot, runPaths } from "../../lib/core/paths.ts";
import { card, type Figure } from "../../lib/show/card.ts";
import { thresholdChart } from "../../lib/show/curve_charts.ts";
import { drawPng, savePlots } from "../../lib/show/save_plots.ts";
import { learningCurves } from "../../lib/show/training_charts.ts";
import { historyOf } from "../run/run_summaries.ts";
import { scene } from "./predictions.ts";

const figure = (title: string): Figure => card({ title, subtitle: "", rows: [], note: "A note." });

/** Calls with a run's name that nothing else has, and removes what was saved. */
async function withRun(test: (run: string, folder: string) => Promise<void>): Promise<void> {
  const run = `plots_test_${crypto.randomUUID().slice(0, 8)}`;
  const { plots, results } = runPaths(run);
  try {
    await test(run, plots);
  } finally {
    await Deno.remove(results, { recursive: true }).catch(() => {});
  }
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name)).sort();
}

const both = (...plots: string[]) => plots.flatMap((name) => [`${name}.png`, `${name}.svg`]);

Deno.test("savePlots() writes each figure as a standalone SVG and a PNG twice its size on white", () =>
  withRun(async (run, folder) => {
    const events = [{ epoch: 1, kind: "checkpoint", note: "" }] as const;
    const curves = learningCurves({ history: historyOf([1]), events, run });
    await savePlots(run, { learning_curves: curves });
    const shown = await savePlots(run, { threshold: thresholdChart(scene(10)) });
    assert.ok(shown.text.includes(`results/${run}/plots/`));
    assert.deepEqual(await names(folder), both("learning_curves", "threshold"));
    const svg = await Deno.readTextFile(join(folder, "learning_curves.svg"));
    assert.equal(svg, curves.svg);
    assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="720" /);
    assert.doesNotMatch(svg, /href=|url\(|@import/); // needs no other file
    const png = sharp(join(folder, "learning_curves.png"));
    assert.equal((await png.metadata()).width, 1440);
    assert.ok((await png.stats()).isOpaque);
    const corner = await png.extract({ left: 0, top: 0, width: 1, height: 1 }).raw().toBuffer();
    assert.deepEqual([...corner.subarray(0, 3)], [255, 255, 255]);
  }));

Deno.test("savePlots() replaces what was there, and removes what is no longer drawn with it", () =>
  withRun(async (run, folder) => {
    await savePlots(run, { learning_curves: figure("curves") });
    await savePlots(run, { roc: figure("old"), groups: figure("old") });
    await Deno.writeTextFile(join(folder, "my own.svg"), "mine");
    await savePlots(run, { explained_1: figure("old"), explained_2: figure("old") });
    await savePlots(run, { explained_1: figure("new") });
    await savePlots(run, { roc: figure("new") });
    const saved = both("explained_1", "learning_curves", "roc");
    assert.deepEqual(await names(folder), saved.toSpliced(4, 0, "my own.svg"));
    assert.match(await Deno.readTextFile(join(folder, "roc.svg")), /<title>new</);
  }));

Deno.test("drawPng() is the same picture on a computer without fonts", async () => {
  const title = "Sclerosis <b> é Ж α ≥ 95 %";
  const config = await Deno.makeTempFile({ suffix: ".conf" });
  try {
    await Deno.writeTextFile(config, "<fontconfig></fontconfig>");
    const script = `import { drawPng } from "./lib/show/save_plots.ts";
      import { card } from "./lib/show/card.ts";
      const figure = card(${JSON.stringify({ title, subtitle: "", note: "A note." })});
      console.log(drawPng(figure.svg).toBase64());`;
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-check", script],
      cwd: projectRoot,
      env: { FONTCONFIG_FILE: config, HOME: "/nowhere", XDG_DATA_DIRS: "/nowhere" },
    }).output();
    const there = Uint8Array.fromBase64(new TextDecoder().decode(stdout).trim());
    const here = drawPng(figure(title).svg);
    assert.deepEqual(there, new Uint8Array(here));
    assert.notDeepEqual(there, new Uint8Array(drawPng(figure("W".repeat(title.length)).svg)));
  } finally {
    await Deno.remove(config);
  }
});
