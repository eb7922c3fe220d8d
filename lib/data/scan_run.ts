import type { Config } from "../config.ts";
import { fromRoot, runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { type Finding, writeFindings } from "./findings.ts";
import { type ManifestRow, writeManifest } from "./manifest.ts";
import { scanDataset } from "./scan_dataset.ts";

/**
 * Scans the run's data folder and writes manifest.parquet and audit.csv.
 *
 * @throws {DataError} See `scanDataset`.
 */
export async function scanRun(
  config: Config,
  onProgress?: OnProgress,
): Promise<{ rows: ManifestRow[]; findings: Finding[] }> {
  const scan = await scanDataset(fromRoot(config.data.folder), config.data, onProgress);
  const paths = runPaths(config.run);
  await writeManifest(paths.manifest, scan.rows);
  await writeFindings(paths.audit, scan.findings);
  return scan;
}
