import { projectRoot } from "../lib/paths.ts";
import { textLines } from "../lib/setup/text_lines.ts";
import { type Counts, FAILED, readTestCounts, reportCheck } from "./checks.ts";

/** Runs every `*_test.ts`, showing what `deno test` prints; counts each test. */
export async function runUnitTests(): Promise<Counts> {
  const start = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    // Types have been checked before.
    args: ["test", "-A", "--no-check", "tests/"],
    cwd: projectRoot,
    env: { NO_COLOR: "1", TF_CPP_MIN_LOG_LEVEL: "2" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  for await (const line of textLines(child.stdout)) {
    console.log(line);
    output += `${line}\n`;
  }
  const { success } = await child.status;
  const counts = readTestCounts(output) ?? FAILED;
  // A run that ends badly has failed, whatever it counted.
  const failed = success ? counts.failed : Math.max(1, counts.failed);
  return reportCheck("unit tests", { ...counts, failed }, start);
}
