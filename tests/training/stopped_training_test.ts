import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type CellAnswer, runCells } from "../run_cells.ts";
import { withToyProject } from "./toy_project.ts";

Deno.test(
  "trainRun() stopped in a notebook returns what there is, keeps the kernel, and goes on next time",
  withToyProject(async ({ root, config }) => {
    const module = pathToFileURL(join(root, "lib/training/training.ts")).href;
    const settings = JSON.stringify(
      config({ training: { epochs: 40, earlyStopping: { patience: 40 } } }),
    );
    const trainCell = (name: string) => `
      const ${name} = await trainRun(config, { onProgress: (_d, _t, _n, at) => console.log(at?.place) });
      console.log("RETURNED", ${name}.interrupted, ${name}.resumedFrom, ${name}.history.length);`;
    const cells = [
      { code: `const { trainRun } = await import("${module}"); const config = ${settings};` },
      { code: trainCell("first"), stop_on: "epoch 1 of at most 40, batch 1 of 2" }, // extraction
      { code: trainCell("second"), stop_on: "epoch 4 of at most 40" },
      { code: `console.log("KEPT", first.history.length, typeof second.bestEpoch);` },
      { code: trainCell("third") },
    ];
    const [, first, second, kept, third] = await runCells(cells);
    const returned = (answer?: CellAnswer) => {
      const match = /RETURNED (\w+) (\d+) (\d+)/.exec(answer?.output ?? "");
      assert.ok(match, JSON.stringify(answer));
      return [match[1], Number(match[2]), Number(match[3])] as const;
    };
    const [wasStopped, , epochs] = returned(first);
    assert.equal(wasStopped, "true");
    assert.ok(epochs <= 2, `${epochs} epochs`);
    const [again, from, more] = returned(second);
    assert.deepEqual([again, from], ["true", epochs]);
    assert.ok(more >= 3 && more < 40, `${more} epochs`);
    assert.match(kept!.output, new RegExp(`KEPT ${epochs} number`));
    assert.deepEqual(returned(third), ["false", more, 40]);
  }),
);
