import { basename, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { parseConfig } from "../core/config.ts";
import { readCsv } from "../core/csv.ts";
import { DataError, ProjectError } from "../core/errors.ts";
import { exists, readJson, sha256File, writeAtomic } from "../core/files.ts";
import { fromRoot, isSynthetic, type RunPaths, runPaths } from "../core/paths.ts";
import { chooseExamples } from "../metrics/test.ts";
import type { MapCheck } from "../run/checks.ts";
import { readEvaluationCounts } from "../run/evaluation_files.ts";
import { readFindings } from "../run/findings.ts";
import { readEvents, readHistory } from "../run/history.ts";
import { type ManifestRow, readManifest } from "../run/manifest.ts";
import { readMetrics } from "../run/metrics_file.ts";
import { modelCardSchema } from "../run/model_card.ts";
import { manifestHash, readSplit, type SplitCertificate } from "../run/split_file.ts";
import { escapeHtml } from "./display.ts";
import { thumbnail } from "./pictures.ts";
import { type Html, html, type Picture, type Section, STYLE } from "./report_page.ts";
import {
  errorsSection,
  evaluationSection,
  explanationsSection,
  limitationsSection,
  performanceSection,
  summary,
  titleOf,
} from "./report_results.ts";
import {
  dataSection,
  type Example,
  labelsSection,
  modelSection,
  partitionSection,
  type ReportData,
  type ReportedEvaluation,
  type ReportedPrediction,
  type ReportedTest,
  reproducibilitySection,
  type RunFiles,
  trainingSection,
} from "./report_run.ts";

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

const count = z.int().min(0);

const correlation = z.number().nullable();

const mapCheckSchema: z.ZodType<MapCheck | null> = z.object({
  images: count,
  randomHead: correlation,
  randomLastLayers: correlation,
  occlusion: correlation,
  doubtful: z.boolean(),
  sentence: z.string(),
}).nullable();

const perSubset = <T extends z.ZodType>(value: T) =>
  z.object({ train: value, validation: value, test: value });

const certificateSchema: z.ZodType<SplitCertificate> = z.object({
  version: z.literal(2),
  source: z.enum(["made", "given"]),
  seed: z.int().nullable(),
  fractions_requested: perSubset(z.number()).nullable(),
  fractions_achieved: perSubset(z.number()),
  counts: perSubset(z.record(z.string(), count)),
  groups: perSubset(count),
  manifest_sha256: z.string(),
  split_sha256: z.string(),
  near_duplicate_pairs: count,
  near_duplicates_sha256: z.string(),
  groups_crossing: z.tuple([]),
  duplicates_crossing: z.tuple([]),
  near_duplicates_crossing: z.tuple([]),
  note: z.string().nullable(),
});

/**
 * Reads the files of a run for its report. None has to be there.
 *
 * @returns The files, and why those that are there but cannot be read cannot.
 */
async function readRunFiles(
  paths: RunPaths,
): Promise<{ files: RunFiles; problems: string[] }> {
  const problems: string[] = [];
  const read = async <T>(path: string, reader: (path: string) => Promise<T>): Promise<T | null> => {
    if (!await exists(path)) return null;
    try {
      return await reader(path);
    } catch (error) {
      if (!(error instanceof ProjectError)) throw error;
      problems.push(error.what);
      return null;
    }
  };
  const files: RunFiles = {
    config: await read(paths.config, async (path) => parseConfig(await readJson(path, ""))),
    manifest: await read(paths.manifest, readManifest),
    findings: await read(paths.audit, readFindings),
    split: await read(paths.split, readSplit),
    splitSha256: await read(paths.split, sha256File),
    certificate: await read(paths.splitCertificate, (path) => readShape(path, certificateSchema)),
    history: await read(paths.history, readHistory),
    events: await read(paths.trainingEvents, readEvents),
    card: await read(paths.modelCard, (path) => readShape(path, modelCardSchema)),
    metrics: await read(paths.metrics, readMetrics),
    predictions: await read(paths.predictionsTest, readPredictions),
    mapCheck: await read(paths.explanationCheck, (path) => readShape(path, mapCheckSchema)),
    evaluation: await read(paths.evaluation, readEvaluationCounts),
  };
  return { files, problems };
}

async function readShape<T>(path: string, schema: z.ZodType<T>): Promise<T> {
  const parsed = schema.safeParse(await readJson(path, ""));
  if (parsed.success) return parsed.data;
  throw new DataError(`${path} is damaged, or of another version of the project.`, "");
}

async function readPredictions(path: string): Promise<NonNullable<RunFiles["predictions"]>> {
  const rows = await readCsv(path, ["path", "label", "predicted", "probability"], "");
  return rows.map(({ path, label, predicted, probability }) => {
    return { path, label, predicted, probability: Number(probability) };
  });
}

/** The parts of a run that belong to its model. */
interface MatchedFiles {
  test: ReportedTest | null;
  evaluation: ReportedEvaluation | null;
  /** What was left out of the report, or does not agree, and what to do. */
  problems: string[];
}

/**
 * Tells which files of a run belong together. Notebooks can be run alone, so that scores of an
 * earlier model may still lie beside a new one: no report may show them as the new one's.
 */
export function matchFiles(files: RunFiles): MatchedFiles {
  const { certificate, manifest, splitSha256, card } = files;
  const problems: string[] = [];
  if (certificate && splitSha256 && certificate.split_sha256 !== splitSha256) {
    problems.push(
      "split.csv is not the split that split_certificate.json vouches for: run notebook 03.",
    );
  }
  if (certificate && manifest && certificate.manifest_sha256 !== manifestHash(manifest)) {
    problems.push("The images were scanned anew after the split was made: run notebook 03.");
  }
  if (card && splitSha256 && card.data.splitSha256 !== splitSha256) {
    problems.push("The model was trained on another split than the one here: run notebook 05.");
  }
  const predictions = ofThisSplit(files);
  const isTest = files.metrics !== null && predictions !== null && isOfThisModel(files);
  if (files.metrics && !isTest) {
    problems.push(
      "The test scores in metrics.json are of another model, threshold or split than the ones here, " +
        "and are left out: run notebook 06.",
    );
  }
  const { evaluation } = files;
  const isOther = evaluation?.weightsSha256 && card &&
    evaluation.weightsSha256 !== card.weights.sha256;
  if (isOther) {
    problems.push("evaluation.csv is of another model, and is left out: run notebook 07.");
  }
  return {
    test: isTest ? { ...files.metrics!, predictions: predictions! } : null,
    evaluation: evaluation && !isOther ? evaluation : null,
    problems,
  };
}

function isOfThisModel({ metrics, card, splitSha256 }: RunFiles): boolean {
  const reader = metrics?.reads.readers.at(-1);
  return card !== null && card.data.splitSha256 === splitSha256 && reader !== undefined &&
    reader.weights_sha256 === card.weights.sha256 &&
    reader.threshold === card.decision.threshold &&
    isDeepStrictEqual(reader.calibration, card.decision.calibration);
}

/** The predictions with their groups; `null` when they are not of just this split's test images. */
function ofThisSplit({ predictions, split }: RunFiles): ReportedPrediction[] | null {
  if (!predictions || !split) return null;
  const rows = new Map(split.filter((r) => r.subset === "test").map((row) => [row.path, row]));
  if (predictions.length !== rows.size) return null;
  const matched = predictions.flatMap((row) => {
    const own = rows.get(row.path);
    return own?.label === row.label ? [{ ...row, group: own.group }] : [];
  });
  return new Set(matched.map(({ path }) => path)).size === rows.size ? matched : null;
}

/** The browser itself sees to it that nothing runs and nothing is loaded, whatever the page holds. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; " +
  "form-action 'none'";

/**
 * The report of a run as one HTML page that needs no other file, no network and no script. A pure
 * function of its data, all of which is escaped.
 */
export function reportPage(data: ReportData): string {
  const { title, html: heading } = titleOf(data);
  const sections = sectionsOf(data);
  const contents = html`
    <nav aria-label="Contents">
      <ol>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ol>
    </nav>
  `;
  const body = html`<main>
<header>${heading}</header>
${summary(data)}
${contents}
${sections.map(drawn)}
</main>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${body.markup}
</body>
</html>
`;
}

function sectionsOf(data: ReportData): Section[] {
  const evaluation = evaluationSection(data);
  return [
    dataSection(data),
    labelsSection(data),
    partitionSection(data),
    modelSection(data),
    trainingSection(data),
    performanceSection(data),
    explanationsSection(data),
    errorsSection(data),
    ...(evaluation ? [evaluation] : []),
    limitationsSection(data),
    reproducibilitySection(data),
  ];
}

function drawn({ id, title, body }: Section): Html {
  return html`
    <section id="${id}"><h2>${title}</h2>
    ${body}</section>
  `;
}

/** A plot of more bytes is left out: something is wrong with it. */
const MOST_BYTES = 6e6;

/** All plots together: what most mail servers still take, with the rest of the page. */
const MOST_BYTES_TOGETHER = 15e6;

/** Small pictures of a class, and of mistakes. */
const MOST_EXAMPLES = 5;

const MOST_MISTAKES = 10;

/**
 * The saved plots of a run, ready to be put on a page; those that are too large are named instead.
 *
 * @param folder results/RUN/plots.
 */
async function readPlots(
  folder: string,
): Promise<{ plots: Map<string, Picture>; problems: string[] }> {
  const plots = new Map<string, Picture>();
  const problems: string[] = [];
  const names = await Array.fromAsync(Deno.readDir(folder)).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  });
  let together = 0;
  for (const { name } of names.sort((a, b) => a.name < b.name ? -1 : 1)) {
    if (!name.endsWith(".svg")) continue;
    const { size } = await Deno.stat(join(folder, name));
    if (size > MOST_BYTES || together + size > MOST_BYTES_TOGETHER) {
      problems.push(`The plot ${name} is too large for this page; it is in the folder plots.`);
      continue;
    }
    const picture = svgPicture(await Deno.readFile(join(folder, name)));
    if (picture) plots.set(name.slice(0, -".svg".length), picture);
    else problems.push(`The plot ${name} is damaged: run notebooks 05 and 06 again.`);
    together += size;
  }
  return { plots, problems };
}

/** As an image, an SVG can run no script and load nothing. */
function svgPicture(bytes: Uint8Array): Picture | null {
  const text = new TextDecoder().decode(bytes.subarray(0, 2000));
  const [, width, height] = /^<svg [^>]*width="([\d.]+)" height="([\d.]+)"/.exec(text) ?? [];
  if (width === undefined || height === undefined) return null;
  const [, title = ""] = /<title>([^<]*)<\/title>/.exec(text) ?? [];
  return {
    source: `data:image/svg+xml;base64,${bytes.toBase64()}`,
    width: Number(width),
    height: Number(height),
    text: plainText(title),
  };
}

/** Text of an SVG as it was before it was escaped. */
function plainText(markup: string): string {
  const characters: Record<string, string> = {
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&#39;": "'",
    "&amp;": "&",
  };
  return markup.replace(/&(lt|gt|quot|#39|amp);/g, (entity) => characters[entity]!);
}

/**
 * Small pictures of a few images of each class, spread over the list of images.
 *
 * @param folder Absolute path of the data folder.
 */
async function readExamples(
  folder: string,
  manifest: readonly ManifestRow[],
  classes: readonly string[],
): Promise<ReportData["examples"]> {
  const examples = new Map<string, Example[]>();
  for (const label of classes) {
    const own = manifest.filter((row) => row.status === "ok" && row.label === label);
    const count = Math.min(MOST_EXAMPLES, own.length);
    const chosen = Array.from(
      { length: count },
      (_, i) => own[Math.floor((i + 0.5) * own.length / count)]!.path,
    );
    examples.set(label, await Promise.all(chosen.map((path) => readExample(folder, path))));
  }
  return examples;
}

/** Small pictures of the most confident mistakes. */
async function readMistakes(
  folder: string,
  { predictions }: Pick<ReportedTest, "predictions">,
  options: { threshold: number; classes: readonly string[] },
): Promise<ReportData["mistakes"]> {
  const [mistakes] = chooseExamples({ rows: predictions, ...options }, MOST_MISTAKES);
  return await Promise.all(
    mistakes!.examples.map(async ({ path, label, predicted, probability }) => {
      return { ...await readExample(folder, path), label, predicted, probability };
    }),
  );
}

async function readExample(folder: string, path: string): Promise<Example> {
  const picture = await thumbnail(join(folder, path));
  return { path, picture: picture && { ...picture, text: basename(path) } };
}

/** `report/main.ts RUN [WHY_IT_STOPPED]`: writes a run's report and prints its path. */
if (import.meta.main) {
  const [run = "default", stopped = null] = Deno.args;
  console.log(await writeReport(run, { stopped }));
}
