import assert from "node:assert/strict";
import { join } from "node:path";
import { projectRoot } from "../../lib/core/paths.ts";
import { runCells } from "../run_cells.ts";

const WORK = (body: string) => `
const { stoppable } = await import("../lib/core/long_work.ts");
let done = 0;
const result = await stoppable(async (stopRequested) => {
  while (!stopRequested() && done < 400) {
    ${body}
    done += 1;
    console.log("step", done);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return "returned after step " + done;
});
console.log(result);`;

Deno.test("stoppable() lets Stop end awaiting work, and keeps the kernel's variables", async () => {
  const [work, after] = await runCells([
    { code: WORK("await new Promise((resolve) => setTimeout(resolve, 50));"), stop_on: "step 3" },
    { code: "console.log(done < 400, result)" },
  ]);
  assert.match(work!.output, /returned after step \d+/);
  assert.equal(work!.status, "ok");
  assert.match(after?.output ?? "", /true returned after step \d+/);
});

Deno.test("stoppable() lets Stop end work that blocks, after its step", async () => {
  const [work, after] = await runCells([
    { code: WORK("const end = Date.now() + 200; while (Date.now() < end);"), stop_on: "step 2" },
    { code: `{ ${WORK("")} }` }, // work that is begun after a Stop runs to its end
  ]);
  assert.match(work!.output, /returned after step \d+/);
  assert.match(after?.output ?? "", /returned after step 400/);
});

Deno.test("stoppable() in a terminal: Ctrl-C ends the work, a second one the process", async () => {
  const script = (steps: string) => `
    import { stoppable } from ${JSON.stringify(join(projectRoot, "lib", "core", "long_work.ts"))};
    await stoppable(async (stopRequested) => {
      console.log("begun");
      ${steps}
    });
    console.log("saved");`;
  const run = async (steps: string, signals: number) => {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["eval", script(steps)],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
    let output = (await reader.read()).value ?? "";
    for (let i = 0; i < signals; i++) {
      process.kill("SIGINT");
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      output += part.value;
    }
    return { output, code: (await process.status).code };
  };
  const untilStopped =
    "while (!stopRequested()) await new Promise((resolve) => setTimeout(resolve, 10));";
  assert.deepEqual(await run(untilStopped, 1), { output: "begun\nsaved\n", code: 0 });
  const deaf = "await new Promise((resolve) => setTimeout(resolve, 20_000));";
  assert.deepEqual(await run(deaf, 2), { output: "begun\n", code: 130 });
});
