import { join } from "node:path";
import { projectRoot } from "../paths.ts";
import { digest, hasStamp, writeStamp } from "./stamp.ts";
import type { Step } from "./step.ts";
import { runTool } from "./tool.ts";

const stampPath = join(projectRoot, "node_modules", ".packages-stamp");

/**
 * The npm packages, exactly as deno.lock has them. Their install scripts stay ignored on purpose:
 * that of tfjs-node-gpu downloads an outdated TensorFlow, which `binding.ts` replaces.
 */
export const packagesStep: Step = {
  name: "npm packages",
  remedy: "Check the network connection, then run the same command again: it goes on where it " +
    "stopped.",
  isDone: async () => await hasStamp(stampPath, await wanted()),
  run: async (report) => {
    await runTool(Deno.execPath(), ["install", "--frozen"], {
      cwd: projectRoot,
      env: { NO_COLOR: "1" },
      onLine: report,
    });
    await writeStamp(stampPath, await wanted());
  },
};

async function wanted(): Promise<string> {
  return digest([
    await Deno.readTextFile(join(projectRoot, "deno.lock")),
    Deno.build.target,
  ]);
}
