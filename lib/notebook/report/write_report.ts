import { writeAtomic } from "../../files.ts";
import { fromRoot, runPaths } from "../../paths.ts";
import { isSynthetic } from "../../setup/sample_set.ts";
import { matchFiles } from "./match_files.ts";
import { reportPage } from "./page.ts";
import { readRunFiles } from "./read_run_files.ts";
import { readExamples, readMistakes, readPlots } from "./read_pictures.ts";
import type { ReportData } from "./report_data.ts";

/**
 * Writes results/RUN/report.html from the files of a run: one page that needs no other file. What
 * the run has not come to yet is named as missing; what does not belong to its model is left out.
 *
 * @param options `stopped`: why the run ended early, for the top of the page.
 * @returns The page's path.
 * @throws The file system's own error (disk full, no permission).
 */
export async function writeReport(
  run: string,
  { stopped = null }: { stopped?: string | null } = {},
): Promise<string> {
  const paths = runPaths(run);
  await writeAtomic(paths.report, reportPage(await readReport(run, stopped)));
  return paths.report;
}

async function readReport(run: string, stopped: string | null): Promise<ReportData> {
  const paths = runPaths(run);
  const { files, problems: unreadable } = await readRunFiles(paths);
  const { test, evaluation, problems: unmatched } = matchFiles(files);
  const { plots, problems: unshown } = await readPlots(paths.plots);
  const { metrics: _metrics, predictions: _predictions, evaluation: _evaluation, ...rest } = files;
  const { config, manifest, card } = files;
  const folder = config && fromRoot(config.data.folder);
  return {
    run,
    made: new Date().toISOString(),
    synthetic: card?.data.synthetic || (folder !== null && await isSynthetic(folder)),
    stopped,
    problems: [...unreadable, ...unmatched, ...unshown],
    files: rest,
    test,
    evaluation,
    plots,
    examples: folder && manifest
      ? await readExamples(folder, manifest, config.data.classes)
      : new Map(),
    mistakes: folder && test && card
      ? await readMistakes(folder, test, {
        threshold: card.decision.threshold,
        classes: card.architecture.classes,
      })
      : [],
  };
}
