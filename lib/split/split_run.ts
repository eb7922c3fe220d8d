import type { Config } from "../config_schema.ts";
import { nearDuplicatePairs, readFindings } from "../data/findings.ts";
import { readManifest } from "../data/manifest.ts";
import { fromRoot, runPaths } from "../paths.ts";
import { certifySplit, type SplitCertificate, writeCertificate } from "./certificate.ts";
import { readGivenSplit } from "./given_split.ts";
import { type SplitRow, writeSplit } from "./split.ts";
import { stratifiedSplit } from "./stratified_split.ts";

/**
 * Splits the run's images, or takes the split that `split.file` brings, and writes split.csv and
 * split_certificate.json.
 *
 * @throws {DataError} When notebook 02 has not been run, there are too few groups to split, or a
 *   given split cannot be used or leaks.
 */
export async function splitRun(
  config: Config,
): Promise<{ rows: SplitRow[]; certificate: SplitCertificate }> {
  const paths = runPaths(config.run);
  const manifest = await readManifest(paths.manifest);
  const pairs = nearDuplicatePairs(await readFindings(paths.audit));
  const { file, ...fractions } = config.split;
  const rows = file === null
    ? stratifiedSplit(manifest, fractions, config.seed, pairs)
    : await readGivenSplit(fromRoot(file), manifest);
  const requested = file === null ? { seed: config.seed, fractions } : null;
  const certificate = certifySplit(rows, manifest, pairs, requested);
  await writeSplit(paths.split, rows);
  await writeCertificate(paths.splitCertificate, certificate);
  return { rows, certificate };
}
