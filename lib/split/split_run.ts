import type { Config } from "../config.ts";
import { nearDuplicatePairs, readFindings } from "../data/findings.ts";
import { readManifest } from "../data/manifest.ts";
import { runPaths } from "../paths.ts";
import { certifySplit, type SplitCertificate, writeCertificate } from "./certificate.ts";
import { type SplitRow, writeSplit } from "./split.ts";
import { stratifiedSplit } from "./stratified_split.ts";

/**
 * Splits the run's images and writes split.csv and split_certificate.json.
 *
 * @throws {DataError} When notebook 02 has not been run, or there are too few groups to split.
 */
export async function splitRun(
  config: Config,
): Promise<{ rows: SplitRow[]; certificate: SplitCertificate }> {
  const paths = runPaths(config.run);
  const manifest = await readManifest(paths.manifest);
  const pairs = nearDuplicatePairs(await readFindings(paths.audit));
  const rows = stratifiedSplit(manifest, config.split, config.seed, pairs);
  const requested = { seed: config.seed, fractions: config.split };
  const certificate = certifySplit(rows, manifest, pairs, requested);
  await writeSplit(paths.split, rows);
  await writeCertificate(paths.splitCertificate, certificate);
  return { rows, certificate };
}
