import fc from "fast-check";
import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import type { OnProgress } from "../../lib/core/long_work.ts";
import { projectRoot, runPaths } from "../../lib/core/paths.ts";
import { card, type Figure } from "../../lib/show/card.ts";
import { thresholdChart } from "../../lib/show/curve_charts.ts";
import {
  createLive,
  createProgress,
  displayAll,
  escapeHtml,
  htmlDisplay,
  htmlTable,
  jupyterDisplay,
  notice,
  printable,
  progressDisplay,
  show,
  syntheticNotice,
} from "../../lib/show/display.ts";
import { drawPng, savePlots } from "../../lib/show/save_plots.ts";
import { learningCurves } from "../../lib/show/training_charts.ts";
import { historyOf } from "../run/run_summaries.ts";
import { scene } from "./predictions.ts";

const [a, b, c] = ["a", "b", "c"].map((text) => htmlDisplay(`<b>${text}</b>`, text));

Deno.test("displayAll() and show() take several things in order, without what is missing", async () => {
  const all = displayAll(a, null, b, undefined);
  const data = { "text/html": "<b>a</b><b>b</b>", "text/plain": "a\nb" };
  assert.deepEqual(all[jupyterDisplay](), data);
  assert.deepEqual(displayAll()[jupyterDisplay](), { "text/html": "", "text/plain": "" });
  const printed: unknown[] = [];
  const { log } = console;
  console.log = (text) => void printed.push(text);
  try {
    await show(a, null, [b, undefined, displayAll(a, c)], Promise.resolve(c), undefined, []);
  } finally {
    console.log = log;
  }
  assert.deepEqual(printed, ["a", "b", "a\nc", "c"]);
});

Deno.test("createLive() sends one display and then updates of the same one, in order", async () => {
  const sent: [string, Record<string, unknown>][] = [];
  const live = createLive({ broadcast: (...message) => Promise.resolve(void sent.push(message)) });
  await Promise.all([a, b, c].map((content) => live.update(content!)));
  const types = sent.map(([type]) => type).join();
  assert.equal(types, "display_data,update_display_data,update_display_data");
  assert.deepEqual(sent[2]![1]["data"], { "text/html": "<b>c</b>", "text/plain": "c" });
  assert.equal(new Set(sent.map(([, content]) => JSON.stringify(content["transient"]))).size, 1);
  await createLive().update(a!); // outside a notebook: nothing
});

Deno.test("htmlTable() escapes every text, and shows the columns asked for of at most 200 rows", () => {
  const { html } = htmlTable([
    { "<name>": "<script>", value: 0.123456, ok: true },
    { "<name>": "b", value: null, ok: false },
  ], { caption: "A & B" });
  assert.doesNotMatch(html, /<script>|<name>/);
  assert.match(html, /A &amp; B/);
  assert.match(html, /text-align:right[^>]*>0\.1235</);
  assert.match(html, /text-align:right[^>]*>–</);
  assert.match(html, />yes</);
  const rows = Array.from({ length: 250 }, (_, a) => ({ a, b: 1, c: 2 }));
  const many = htmlTable(rows, { columns: ["c", "a"] });
  const headers = [...many.html.matchAll(/<th[^>]*>(\w)</g)].map(([, header]) => header);
  assert.deepEqual(headers, ["c", "a"]);
  assert.equal(many.html.match(/<tr>/g)!.length, 201);
  assert.match(many.html, /50 more rows/);
  assert.equal(many.text, "Table: 250 rows");
  assert.match(htmlTable([]).html, /<tbody><\/tbody>/);
});

Deno.test("htmlTable() wraps columns of long texts alone, between words and after separators", () => {
  const { html } = htmlTable([{ score: 0.123456, short: "0123456789ab", long: "0123456789abc" }]);
  const whole = [...html.matchAll(/<td[^>]*white-space:nowrap[^>]*>([^<]*)</g)];
  assert.deepEqual(whole.map((match) => match[1]), ["0.1235", "0123456789ab"]);
  const name = htmlTable([{ name: "S_1/<b>_&/x_y.png" }]).html;
  assert.match(name, />S_<wbr>1\/&lt;b&gt;_&amp;\/<wbr>x_<wbr>y\.png</);
  const settings = htmlTable([{ settings: "learningRate\u00a00.0003" }]).html;
  assert.ok(settings.includes("learningRate\u00a0<wbr>0.0003<"));
});

Deno.test("notice() escapes its text and keeps line breaks", () => {
  assert.match(notice("a <b>", "warning").html, /a &lt;b&gt;/);
  assert.match(notice("one\ntwo").html, /white-space:pre-line.*one\ntwo/);
  assert.match(syntheticNotice().text, /synthetic/i);
});

Deno.test("escapeHtml() leaves no markup and loses nothing but what XML forbids", () => {
  assert.equal(printable("a\u0007b\ud800c\n\u00e9"), "a\ufffdb\ufffdc\n\u00e9");
  assert.equal(escapeHtml(`<b a="1">&'`), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const escaped = escapeHtml(text);
      assert.doesNotMatch(escaped, /[<>"']|&(?!(amp|lt|gt|quot|#39);)/);
      const back = escaped.replaceAll("&lt;", "<").replaceAll("&gt;", ">")
        .replaceAll("&quot;", '"').replaceAll("&#39;", "'").replaceAll("&amp;", "&");
      assert.equal(back, printable(text));
    }),
    { seed: 1, numRuns: 300 },
  );
});

Deno.test("progressDisplay() speaks of long times, gives three digits, escapes, and moves no cursor", () => {
  const state = { label: "<b>", done: 1, total: 1000, note: "<i>", rate: 0.05, seconds: 20 };
  const { html, text } = progressDisplay(state);
  assert.equal(text, "<b>: 1 of 1,000 · 0.0500 a second, 5 h 33 min left · <i>");
  assert.match(html, /&lt;b&gt;.*<progress value="1" max="1000".*&lt;i&gt;/);
  const nothing = progressDisplay({ ...state, done: 0, total: 0, rate: 0, seconds: 0 });
  assert.match(nothing.text, /0 of 0 · in 0\.0 s/);
  const shown = (rate: number) =>
    progressDisplay({ label: "a", done: 1, total: 9, note: "\x1b[2Jx\ny", rate, seconds: 1 }).text;
  const speeds = [0.012345, 1, 99.94, 123.4, 12345]
    .map((rate) => /· (\S+) a second/.exec(shown(rate))![1]);
  assert.deepEqual(speeds, ["0.0123", "1.00", "99.9", "123", "12,345"]);
  assert.match(shown(1), /· x y$/);
});

const place = (text: string) => ({ place: text, unit: "images" });

/** What a progress display says over time: each call is made at its second. */
const COURSES: Record<
  string,
  { calls: [second: number, ...Parameters<OnProgress>][]; says: string[]; interval?: number }
> = {
  "shows the first and last state, and at most one an interval": {
    calls: Array.from({ length: 11 }, (_, done) => [0.09 * done, done, 10]),
    says: [
      "0 of 10",
      ...["3 of 10 · 11.1 a second, 0.6 s left", "6 of 10 · 11.1 a second, 0.4 s left"],
      ...["9 of 10 · 11.1 a second, 0.1 s left", "10 of 10 · in 0.9 s, finished"],
    ],
    interval: 200,
  },
  "says of training the epoch, batch, images a second and time left": {
    calls: [
      [0, 0, 400, undefined, place("epoch 1 of at most 2, starting")],
      [2, 50, 400, "loss 0.7000", place("epoch 1 of at most 2, batch 1 of 3")],
    ],
    says: [
      "epoch 1 of at most 2, starting",
      "epoch 1 of at most 2, batch 1 of 3 · 25.0 images a second, 14 s left · loss 0.7000",
    ],
  },
  "reckons each phase from its own start": {
    calls: [
      [1, 50, 100, "frozen layers"],
      [2, 100, 100, "frozen layers"],
      [3, 0, 100, "epoch 1"],
      [4, 10, 100, "epoch 1"],
    ],
    says: [
      "50 of 100 · frozen layers",
      "100 of 100 · in 2.0 s · frozen layers, finished",
      "0 of 100 · epoch 1",
      "10 of 100 · 10.0 a second, 9.0 s left · epoch 1",
    ],
  },
  "counts nothing that was done before, in a continued training": {
    calls: [[10, 500, 1000], [11, 505, 1000]],
    says: ["500 of 1,000", "505 of 1,000 · 5.00 a second, 1 min 39 s left"],
  },
  "ends with the total, which may be less than was thought": {
    calls: [
      [1, 100, 1000],
      [4, 300, 1000],
      [5, 300, 300, undefined, place("stopped early after epoch 3")],
    ],
    says: [
      "100 of 1,000",
      "300 of 1,000 · 66.7 a second, 11 s left",
      "stopped early after epoch 3 · in 5.0 s, finished",
    ],
  },
};

for (const [what, { calls, says, interval = 0 }] of Object.entries(COURSES)) {
  Deno.test(`createProgress() ${what}`, () => {
    let time = 0;
    const shown: string[] = [];
    const add = ({ text }: { text: string }, finished: boolean) =>
      void shown.push(finished ? `${text}, finished` : text);
    const progress = createProgress("Training", add, () => time, interval);
    for (const [second, ...call] of calls) {
      time = 1000 * second;
      progress(...call);
    }
    assert.deepEqual(shown, says.map((text) => `Training: ${text}`));
  });
}

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
