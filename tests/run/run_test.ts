import assert from "node:assert/strict";
import { join } from "node:path";
import { OVERRIDES_VARIABLE } from "../../lib/core/config.ts";
import { inProjectCopy } from "../copy_project.ts";

type RunModule = typeof import("../../lib/run/run.ts");

/** `openRun` in a project of its own, which no command line tells anything. */
function withOpenRun(
  test: (openRun: RunModule["openRun"], root: string) => Promise<void>,
): () => Promise<void> {
  return () =>
    inProjectCopy(async ({ root, load }) => {
      const before = Deno.env.get(OVERRIDES_VARIABLE);
      Deno.env.delete(OVERRIDES_VARIABLE);
      try {
        await test((await load<RunModule>("lib/run/run.ts")).openRun, root);
      } finally {
        if (before === undefined) Deno.env.delete(OVERRIDES_VARIABLE);
        else Deno.env.set(OVERRIDES_VARIABLE, before);
      }
    });
}

Deno.test(
  "openRun() remembers the run that was named last for notebooks that name none",
  withOpenRun(async (openRun) => {
    assert.equal((await openRun()).name, "default");
    assert.equal((await openRun({ run: "mine", seed: 7 })).name, "mine");
    const later = await openRun({ training: { epochs: 3 } });
    assert.deepEqual([later.name, later.config.seed, later.config.training.epochs], ["mine", 7, 3]);
    assert.equal((await openRun({ run: "other" })).config.seed, 42);
    assert.equal((await openRun()).name, "other");
  }),
);

Deno.test(
  "openRun() does not remember a run that the command line names",
  withOpenRun(async (openRun) => {
    await openRun({ run: "mine" });
    Deno.env.set(OVERRIDES_VARIABLE, '{"run":"theirs"}');
    assert.equal((await openRun({ run: "mine" })).name, "theirs");
    assert.equal((await openRun()).name, "theirs");
    Deno.env.delete(OVERRIDES_VARIABLE);
    assert.equal((await openRun()).name, "mine");
  }),
);

Deno.test(
  "openRun() takes the default run where what was remembered is damaged",
  withOpenRun(async (openRun, root) => {
    await Deno.mkdir(join(root, "results"), { recursive: true });
    for (const text of ["{", '{"run":"../x"}', "[]", ""]) {
      await Deno.writeTextFile(join(root, "results", ".current_run.json"), text);
      assert.equal((await openRun()).name, "default");
    }
  }),
);
