import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { projectRoot, runPaths } from "../../lib/core/paths.ts";
import { card, type Figure } from "../../lib/show/card.ts";
import { thresholdChart } from "../../lib/show/curve_charts.ts";
import { fontFit, savePlots } from "../../lib/show/save_plots.ts";
import { learningCurves } from "../../lib/show/training_charts.ts";

const figure = (title: string): Figure => card({ title, subtitle: "", rows: [], note: "A note." });

/** Without fonts there are no PNG files: what a computer without any does has a test of its own. */
const ignore = await fontFit() === null;

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

Deno.test({
  name: "savePlots() writes each figure as a standalone SVG and a PNG twice its size on white",
  ignore,
  fn: async () => {
    await withRun(async (run, folder) => {
      const history = [{
        epoch: 1,
        loss: 1,
        accuracy: 0.5,
        auc: null,
        val_loss: 1,
        val_accuracy: 0.5,
        val_auc: null,
        learning_rate: 1e-4,
        seconds: 1,
      }];
      const events = [{ epoch: 1, kind: "checkpoint", note: "" }] as const;
      const curves = learningCurves({ history, events, run });
      const sample = { labels: [0, 1], probabilities: [0.2, 0.8], threshold: 0.5, run };
      await savePlots(run, { learning_curves: curves });
      const shown = await savePlots(run, { threshold: thresholdChart(sample) });
      assert.equal(shown.text, `1 plot saved in results/${run}/plots/, as SVG and PNG.`);
      assert.deepEqual(await names(folder), [
        "learning_curves.png",
        "learning_curves.svg",
        "threshold.png",
        "threshold.svg",
      ]);
      const svg = await Deno.readTextFile(join(folder, "learning_curves.svg"));
      assert.equal(svg, curves.svg);
      assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" width="720" /);
      assert.doesNotMatch(svg, /href=|url\(|@import/); // needs no other file
      const png = sharp(join(folder, "learning_curves.png"));
      const { width, hasAlpha } = await png.metadata();
      assert.deepEqual([width, hasAlpha], [1440, false]);
      const corner = await png.extract({ left: 0, top: 0, width: 1, height: 1 }).raw().toBuffer();
      assert.deepEqual([...corner], [255, 255, 255]);
    });
  },
});

Deno.test({
  name: "savePlots() replaces what was there, and removes what is no longer drawn with it",
  ignore,
  fn: async () => {
    await withRun(async (run, folder) => {
      await savePlots(run, { learning_curves: figure("curves") });
      await savePlots(run, { roc: figure("old"), groups: figure("old") });
      await Deno.writeTextFile(join(folder, "my own.svg"), "mine");
      await savePlots(run, { explained_1: figure("old"), explained_2: figure("old") });
      await savePlots(run, { explained_1: figure("new") });
      await savePlots(run, { roc: figure("new") });
      assert.deepEqual(await names(folder), [
        "explained_1.png",
        "explained_1.svg",
        "learning_curves.png",
        "learning_curves.svg",
        "my own.svg",
        "roc.png",
        "roc.svg",
      ]);
      assert.match(await Deno.readTextFile(join(folder, "roc.svg")), /<title>new</);
    });
  },
});

Deno.test("savePlots() of a computer without fonts saves no PNG of boxes, and says so", async () => {
  await withRun(async (run, folder) => {
    await savePlots(run, { roc: figure("with fonts") });
    const config = await Deno.makeTempFile({ suffix: ".conf" });
    try {
      await Deno.writeTextFile(config, "<fontconfig></fontconfig>");
      const script = `import { savePlots } from "./lib/notebook/save_plots.ts";
        import { card } from "./lib/notebook/card.ts";
        const roc = card({ title: "without", subtitle: "", rows: [] });
        console.log((await savePlots(${JSON.stringify(run)}, { roc })).text);`;
      const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["eval", "--no-check", script],
        cwd: projectRoot,
        env: { FONTCONFIG_FILE: config },
      }).output();
      const decoder = new TextDecoder();
      assert.match(
        decoder.decode(stdout) + decoder.decode(stderr),
        /as SVG alone: this computer has no fonts/,
      );
    } finally {
      await Deno.remove(config);
    }
    assert.deepEqual((await names(folder)).filter((name) => name.startsWith("roc")), ["roc.svg"]);
    assert.match(await Deno.readTextFile(join(folder, "roc.svg")), /<title>without</);
  });
});
