import assert from "node:assert/strict";
import { join } from "node:path";
import { toCsv } from "../../../lib/core/csv.ts";
import { writeFindings } from "../../../lib/run/findings.ts";
import { writeHistory } from "../../../lib/run/history.ts";
import { writeManifest } from "../../../lib/run/manifest.ts";
import { writeSplit } from "../../../lib/run/split_file.ts";
import { inProjectCopy } from "../../copy_project.ts";
import { picture, put } from "../../data/test_images.ts";
import { CLASSES, runFiles } from "./report_files.ts";

type WriteReport = typeof import("../../../lib/show/report.ts");

const SVG =
  '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><title>a &lt; b</title>' +
  "<script>alert(1)</script></svg>";

/** A run on disk, its model as good as can be but for one mistake. */
function withRun(
  test: (run: {
    root: string;
    write: (stopped?: string) => Promise<string>;
  }) => Promise<void>,
): () => Promise<void> {
  return () =>
    inProjectCopy(async ({ root, load }) => {
      const { writeReport } = await load<WriteReport>("lib/show/report.ts");
      const files = runFiles((i, label) => label === 1 ? 0.9 : i === 1 ? 0.6 : 0.1);
      const at = (name: string) => join(root, "results/try", name);
      const json = (name: string, value: unknown) =>
        put(root, `results/try/${name}`, JSON.stringify(value));
      await json("config.json", { ...files.config, run: "try" });
      await json("split_certificate.json", files.certificate);
      await json("metrics.json", { ...files.metrics!.scores, test_reads: files.metrics!.reads });
      await json("explanation_check.json", null);
      await writeManifest(at("manifest.parquet"), files.manifest!);
      await writeFindings(at("audit.csv"), [
        { path: "=x", finding: "blurred", detail: "d", other_path: "" },
      ]);
      await writeSplit(at("split.csv"), files.split!);
      await writeHistory(at("history.csv"), files.history!);
      const columns = ["path", "label", "predicted", "probability"] as const;
      await put(root, "results/try/predictions_test.csv", toCsv(columns, files.predictions!));
      await put(root, "model/try/model_card.json", JSON.stringify(files.card));
      await put(root, "results/try/plots/roc.svg", SVG);
      const wrong = files.predictions!.find((row) => row.label !== row.predicted)!;
      await put(root, `data/${wrong.path}`, await picture(1, 40, 40).png().toBuffer());
      await test({
        root,
        write: async (stopped) =>
          await Deno.readTextFile(await writeReport("try", stopped ? { stopped } : {})),
      });
    });
}

Deno.test(
  "writeReport() puts the files of a run on one page that needs nothing else",
  withRun(async ({ write }) => {
    const page = await write();
    assert.match(page, /Better than always giving the more frequent answer/);
    assert.match(page, /1 of 60 images was answered otherwise/);
    assert.match(page, /far less sharp than the other images/);
    assert.doesNotMatch(page, /Not everything here fits together|NaN|\[object|>(undefined|null)/);
    const [, encoded, rest] = /"data:image\/svg\+xml;base64,([^"]+)"([^>]+)>/.exec(page)!;
    assert.equal(new TextDecoder().decode(Uint8Array.fromBase64(encoded!)), SVG);
    assert.equal(rest, ' width="20" height="10" alt="a &lt; b"');
    assert.match(page, /<img src="data:image\/jpeg;base64,[^"]+" width="140" height="140"/);
    assert.match(page, /cannot be read/); // of the images of the data folder only one is there
    assert.doesNotMatch(page, /<script/);
    assert.equal(page.match(/(src|href)="(?!data:image|#)/), null);
    assert.match(await write("why it stopped"), /why it stopped/);
  }),
);

Deno.test(
  "writeReport() makes a page of what there is, and names what is damaged or too large",
  withRun(async ({ root, write }) => {
    await put(root, "results/try/metrics.json", "{");
    await put(root, "results/try/plots/roc.svg", "no picture");
    await put(root, "results/try/plots/groups.svg", new Uint8Array(7e6));
    await put(root, "results/try/audit.csv", "path\n");
    const page = await write();
    assert.match(page, /metrics\.json is not valid JSON/);
    assert.match(page, /audit\.csv lacks the column/);
    assert.match(page, /The plot roc\.svg is damaged/);
    assert.match(page, /The plot groups\.svg is too large for this page/);
    assert.match(page, /There are no test scores of this model/);
    await Deno.remove(join(root, "results/try"), { recursive: true });
    assert.match(await write(), /There are no test scores yet/);
  }),
);

Deno.test(
  "writeReport() counts what section 7 left",
  withRun(async ({ root, write }) => {
    await put(root, "results/try/evaluation.csv", "name,ground_truth\n");
    const rows = [CLASSES[0], CLASSES[1], CLASSES[1]].map((name, i) => `${i},${name},review`);
    const details = ["name,predicted,decision", ...rows].join("\n");
    await put(root, "results/try/evaluation_details.csv", `${details}\n`);
    await put(root, "results/try/evaluation_errors.csv", "name,error\nx,cut\n");
    assert.match(await write(), /3 images of a folder without labels were classified, 3 of which/);
    const summary = {
      model: { weights_sha256: "a".repeat(64) },
      classified: 1234,
      unreadable: 2,
      review: 3,
      classes: [{ name: CLASSES[0], images: 1234 }],
      class_share: { text: "Of these images an estimated 4 % are." },
    };
    await put(root, "results/try/evaluation_summary.json", JSON.stringify(summary));
    const page = await write();
    assert.match(page, /1,234 images of a folder without labels were classified, 3 of/);
    assert.match(page, /<p>Of these images an estimated 4 % are\.<\/p>/);
  }),
);
