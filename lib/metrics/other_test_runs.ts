import { z } from "zod";
import { readJson } from "../files.ts";
import { runPaths } from "../paths.ts";
import { runFolders } from "../run_folders.ts";
import { testReadsSchema } from "./test_reads.ts";

const metricsSchema = z.object({ test_reads: testReadsSchema.pick({ test_sha256: true }) });

/**
 * The other runs whose scores are of the same test images, by name: whoever chooses between runs by
 * these scores chooses by luck as well. What cannot be read is no score that anybody compares.
 *
 * @param testSha256 `test_sha256` of `TestReads`.
 */
export async function otherTestRuns(run: string, testSha256: string): Promise<string[]> {
  const others: string[] = [];
  for (const name of await runFolders()) {
    if (name === run) continue;
    const metrics = await readJson(runPaths(name).metrics, "").catch(() => null);
    const { data } = metricsSchema.safeParse(metrics);
    if (data?.test_reads.test_sha256 === testSha256) others.push(name);
  }
  return others;
}
