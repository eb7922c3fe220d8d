import type { Config } from "../config_schema.ts";
import { fromRoot, runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { type Finding, writeFindings } from "./findings.ts";
import { type ManifestRow, writeManifest } from "./manifest.ts";
import { scanCachePath } from "./scan_cache.ts";
import { scanDataset } from "./scan_dataset.ts";

/**
 * Scans the run's data folder and writes manifest.parquet and audit.csv. What was read of files that
 * have not changed since the last scan, of any run, is remembered.
 *
 * @param progress Makes a display for each stretch of work: `showProgress`.
 * @throws {DataError} See `scanDataset`.
 */
export async function scanRun(
  config: Config,
  progress?: (label: string) => OnProgress,
): Promise<{ rows: ManifestRow[]; findings: Finding[] }> {
  const folder = fromRoot(config.data.folder);
  const options = { progress, cachePath: scanCachePath(folder) };
  const scan = await scanDataset(folder, config.data, options);
  const paths = runPaths(config.run);
  await writeManifest(paths.manifest, scan.rows);
  await writeFindings(paths.audit, scan.findings);
  return scan;
}
