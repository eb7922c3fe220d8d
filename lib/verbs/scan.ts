import { fromRoot } from "../core/paths.ts";
import { percent } from "../core/words.ts";
import { classCounts, majorityBaseline, scanRun } from "../data/scan.ts";
import { auditCounts, auditPolicies, type Finding } from "../run/findings.ts";
import { type ManifestRow, usable } from "../run/manifest.ts";
import type { Run } from "../run/run.ts";
import { classCountsChart, sizeChart } from "../show/data_charts.ts";
import { type Displayable, displayAll, htmlTable, notice, showProgress } from "../show/display.ts";
import { auditPictures, imageGrid, withoutPicture } from "../show/pictures.ts";

/** What notebook 02 shows of a run's data. */
interface ScannedData {
  /** Every image, the unusable ones too: the rows of manifest.parquet. */
  rows: ManifestRow[];
  /** The rows of audit.csv. */
  findings: Finding[];
  /** Images of each class, and what always predicting the most frequent one would score. */
  classes: Displayable;
  /** Width and height of the images, by class. */
  sizes: Displayable;
  /** Some images of each class, taken evenly from the first to the last. */
  samples: Displayable;
  /** How much was found of each kind, and the files that have no picture. */
  audit: Displayable;
  /** The images that findings are about; pairs side by side. */
  pictures: Displayable;
}

/**
 * Reads and audits the images of the run's data folder, and writes manifest.parquet and audit.csv.
 * Files that have not changed since an earlier scan are not read again.
 *
 * @throws {DataError} When the folder is missing, or a class has no usable image.
 */
export async function scan(run: Run): Promise<ScannedData> {
  const { folder, audit } = run.config.data;
  const { rows, findings } = await scanRun(run, showProgress);
  const images = usable(rows);
  return {
    rows,
    findings,
    classes: showClasses(run, rows),
    sizes: sizeChart({ sizes: images, classes: run.config.data.classes, run: run.name }),
    samples: await showSamples(run, images),
    audit: showAudit(run, findings),
    pictures: displayAll(...await auditPictures({ folder: fromRoot(folder), findings, audit })),
  };
}

/** What is done about each kind of finding: a table to be read before anything is left out. */
export function auditTable({ config }: Run): Displayable {
  return htmlTable(auditPolicies(config.data.audit));
}

function showClasses({ name, config }: Run, rows: readonly ManifestRow[]): Displayable {
  const counts = classCounts(rows, config.data.classes);
  const { label, accuracy } = majorityBaseline(usable(rows).map(({ label }) => label));
  const bars = counts.map(({ label, images }) => ({ label, count: images }));
  return displayAll(
    classCountsChart({ counts: bars, run: name }),
    htmlTable(counts),
    notice(`Always predicting ${label} is right for ${percent(accuracy)} of these images.`),
  );
}

async function showSamples({ config }: Run, images: readonly ManifestRow[]): Promise<Displayable> {
  const { folder, classes } = config.data;
  const grids = classes.map(async (label) => {
    const own = images.filter((image) => image.label === label);
    const every = Math.max(1, Math.floor(own.length / 10)); // of all slides, not of the first
    const some = own.filter((_, index) => index % every === 0).slice(0, 10);
    const tiles = some.map(({ path }) => ({
      path: fromRoot(`${folder}/${path}`),
      caption: path.slice(label.length + 1),
    }));
    return await imageGrid(tiles, { title: label });
  });
  return displayAll(...await Promise.all(grids));
}

function showAudit({ config }: Run, findings: readonly Finding[]): Displayable {
  if (findings.length === 0) {
    return notice("Nothing to report: every image can be read and is there once.");
  }
  const unseen = withoutPicture(findings);
  return displayAll(
    htmlTable(auditCounts(findings, config.data.audit)),
    unseen.length > 0 ? htmlTable(unseen, { caption: "Files without a picture" }) : null,
  );
}
