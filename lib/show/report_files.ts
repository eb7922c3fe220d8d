import { range } from "d3-array";
import { basename, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { parseConfig } from "../core/config.ts";
import { DataError, ProjectError } from "../core/errors.ts";
import { exists, readJson, sha256File } from "../core/files.ts";
import { fromRoot, isSynthetic, runPaths } from "../core/paths.ts";
import { chooseExamples } from "../metrics/test.ts";
import { readMapCheck } from "../run/checks.ts";
import { readEvaluationCounts } from "../run/evaluation_files.ts";
import { readFindings } from "../run/findings.ts";
import { readEvents, readHistory } from "../run/history.ts";
import { readManifest, usable } from "../run/manifest.ts";
import { readMetrics } from "../run/metrics_file.ts";
import { modelCardSchema } from "../run/model_card.ts";
import {
  type Prediction,
  type Predictions,
  predictionsOf,
  readPredictions,
} from "../run/predictions.ts";
import { manifestHash, readCertificate } from "../run/split_certificate.ts";
import { readSplit, testedRows } from "../run/split_file.ts";
import { thumbnail } from "./pictures.ts";
import type { Picture } from "./report_page.ts";

/** Pictures of a class, and of mistakes. */
const [MOST_EXAMPLES, MOST_MISTAKES] = [5, 10];

/** Everything that a report shows; a pure description, without files. */
export type ReportData = Awaited<ReturnType<typeof readReport>>;

/** Reads all that the report of a run shows. What cannot be read, or does not belong, is named. */
export async function readReport(run: string, stopped: string | null) {
  const { files, problems: unreadable } = await readRunFiles(run);
  const { test, evaluation, problems: unmatched } = matchFiles(files, run);
  const { plots, problems: unshown } = await readPlots(runPaths(run).plots);
  const { metrics: _, predictions: _all, evaluation: _any, ...rest } = files;
  const { config, manifest, card } = files;
  const folder = config && fromRoot(config.data.folder);
  // a picture that is `null` cannot be read any more
  const withPicture = async <T extends { path: string }>(row: T) => {
    const picture = folder === null ? null : await thumbnail(join(folder, row.path));
    return { ...row, picture: picture && { ...picture, text: basename(row.path) } };
  };
  const examples = (config && manifest ? config.data.classes : []).map(async (label) => {
    const own = usable(manifest!).filter((row) => row.label === label);
    const count = Math.min(MOST_EXAMPLES, own.length);
    const chosen = range(count).map((i) => own[Math.floor((i + 0.5) * own.length / count)]!);
    return [label, await Promise.all(chosen.map(({ path }) => withPicture({ path })))] as const;
  });
  const mistakes = test && card ? chooseExamples(test.predictions, MOST_MISTAKES)[0]!.examples : [];
  return {
    run,
    made: new Date().toISOString(),
    // whether any image is of the sample set
    synthetic: card?.data.synthetic || (folder !== null && await isSynthetic(folder)),
    // why the run stopped before its end; `null`: it did not
    stopped,
    // files that cannot be used, or do not belong to the model, and why
    problems: [...unreadable, ...unmatched, ...unshown],
    files: rest,
    test,
    evaluation,
    plots,
    examples: new Map(await Promise.all(examples)),
    mistakes: await Promise.all(mistakes.map(withPicture)),
  };
}

/** The files of a run by what they say. What is `null` is not there yet, or cannot be used. */
export type RunFiles = Awaited<ReturnType<typeof readRunFiles>>["files"];

/** None of them has to be there; `problems`: why one cannot be read. */
async function readRunFiles(run: string) {
  const paths = runPaths(run);
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
  const files = {
    config: await read(paths.config, async (path) => parseConfig(await readJson(path, ""))),
    manifest: await read(paths.manifest, readManifest),
    findings: await read(paths.audit, readFindings),
    split: await read(paths.split, readSplit),
    splitSha256: await read(paths.split, sha256File),
    certificate: await read(paths.splitCertificate, readCertificate),
    history: await read(paths.history, readHistory),
    events: await read(paths.trainingEvents, readEvents),
    card: await read(paths.modelCard, async (path) => {
      const { data } = modelCardSchema.safeParse(await readJson(path, ""));
      if (data) return data;
      throw new DataError(`${path} is damaged, or of another version of the project.`, "", {
        file: path,
      });
    }),
    metrics: await read(paths.metrics, readMetrics),
    predictions: await read(paths.predictionsTest, readPredictions),
    mapCheck: await read(paths.explanationCheck, readMapCheck),
    evaluation: await read(paths.evaluation, readEvaluationCounts),
  };
  return { files, problems };
}

/**
 * Tells which files of a run belong together. Notebooks can be run alone, so that scores of an
 * earlier model may still lie beside a new one: no report may show them as the new one's.
 *
 * @returns `problems`: what was left out of the report, or does not agree, and what to do.
 */
export function matchFiles(files: RunFiles, run: string) {
  const { certificate, manifest, splitSha256, card, metrics, evaluation } = files;
  const differ = (one?: string | null, other?: string | null) => one && other && one !== other;
  const predictions = isOfThisModel(files) ? ofThisSplit(files, run) : null;
  const isOther = differ(evaluation?.weightsSha256, card?.weights.sha256);
  return {
    test: metrics && predictions ? { ...metrics, predictions } : null,
    evaluation: isOther ? null : evaluation,
    problems: Object.entries({
      "split.csv is not the split that split_certificate.json vouches for: run notebook 03.":
        differ(certificate?.split_sha256, splitSha256),
      "The images were scanned anew after the split was made: run notebook 03.": differ(
        certificate?.manifest_sha256,
        manifest && manifestHash(manifest),
      ),
      "The model was trained on another split than the one here: run notebook 05.": differ(
        card?.data.splitSha256,
        splitSha256,
      ),
      [
        "The test scores in metrics.json are of another model, threshold or split than the ones " +
        "here, and are left out: run notebook 06."
      ]: metrics && !predictions,
      "evaluation.csv is of another model, and is left out: run notebook 07.": isOther,
    }).flatMap(([problem, applies]) => applies ? [problem] : []),
  };
}

function isOfThisModel({ metrics, card, splitSha256 }: RunFiles): boolean {
  const reader = metrics?.reads.readers.at(-1);
  if (!card || !reader || card.data.splitSha256 !== splitSha256) return false;
  const { weights, decision: { threshold, calibration } } = card;
  return reader.weights_sha256 === weights.sha256 && reader.threshold === threshold &&
    isDeepStrictEqual(reader.calibration, calibration);
}

/** The predictions with their groups; `null` when they are not of just this split's test images. */
function ofThisSplit({ predictions, split, card }: RunFiles, run: string): Predictions | null {
  if (!predictions || !split || !card) return null;
  const { classes } = card.architecture;
  const test = new Map(testedRows(split).map((row) => [row.path, row]));
  const rows = predictions.flatMap((row): Prediction[] => {
    const own = test.get(row.path);
    const isKnown = own?.label === row.label && classes.includes(row.predicted);
    return isKnown ? [{ ...row, uncalibrated: row.probability, group: own.group }] : [];
  });
  const paths = new Set(rows.map(({ path }) => path));
  if (predictions.length !== test.size || paths.size !== test.size) return null;
  const { training: { seed }, decision: { threshold } } = card;
  const source = rows.some(({ fold }) => fold) ? "out of fold" : "test";
  return predictionsOf(rows, { run, source, classes, seed, threshold });
}

/** More bytes of one plot are a mistake; more of all together are more than mail servers take. */
const [MOST_BYTES, MOST_BYTES_TOGETHER] = [6e6, 15e6];

/** The saved plots of a run, ready to be put on a page; those that are too large are named. */
async function readPlots(folder: string) {
  const plots = new Map<string, Picture>();
  const problems: string[] = [];
  const entries = await exists(folder) ? await Array.fromAsync(Deno.readDir(folder)) : [];
  let together = 0;
  for (const name of entries.map(({ name }) => name).filter((n) => n.endsWith(".svg")).sort()) {
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
    text: title.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"')
      .replaceAll("&#39;", "'").replaceAll("&amp;", "&"),
  };
}
