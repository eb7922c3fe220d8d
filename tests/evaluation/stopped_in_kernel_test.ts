import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { projectRoot } from "../../lib/core/paths.ts";
import { runCells } from "../run_cells.ts";
import { csvTexts, evaluate, putImages, withNewImages } from "./with_new_images.ts";

Deno.test(
  "evaluateFolder() stopped in a notebook keeps the kernel, and goes on to the same files",
  withNewImages((folder) => putImages(folder, 400), async (places) => {
    const expected = await csvTexts(
      await evaluate({ ...places, out: join(places.root, "undisturbed.csv") }),
    );
    const module = pathToFileURL(join(projectRoot, "lib/evaluation/evaluate.ts")).href;
    const { folder, modelFolder, out } = places;
    const cell = (name: string) => `
      const ${name} = await evaluateFolder({
        ...${JSON.stringify({ folder, modelFolder, out })},
        onProgress: (done) => done % 32 === 0 && console.log("done", done),
      });
      console.log("RETURNED", ${name}.state, ${name}.classified + ${name}.unreadable);`;
    const answers = await runCells([
      { code: `const { evaluateFolder } = await import("${module}");` },
      { code: cell("first"), stop_on: "done 64" },
      { code: `console.log("KEPT", first.state);` },
      { code: cell("second") },
    ]);
    const [, first, kept, second] = answers.map(({ output }) => output);
    const [, done] = /RETURNED stopped (\d+)/.exec(first!) ?? [];
    assert.ok(Number(done) >= 64 && Number(done) < 400, `${first}`);
    assert.match(kept!, /KEPT stopped/);
    assert.match(second!, /RETURNED finished 400/);
    const stem = out.replace(/\.csv$/, "");
    const files = {
      ...{ evaluation: out, details: `${stem}_details.csv`, errors: `${stem}_errors.csv` },
      ...{ groups: "", review: "", summary: "", parts: "" },
    };
    assert.deepEqual(await csvTexts({ files }), expected);
  }),
);
