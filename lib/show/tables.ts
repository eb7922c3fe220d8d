import { describeConfig } from "../core/config.ts";
import type { Config, Monitor } from "../core/settings.ts";
import { percent, SCORE_NAMES, scoreTitle } from "../core/words.ts";
import type { ExternalScores } from "../evaluation/external.ts";
import { describeEvaluation, type Evaluation } from "../evaluation/results.ts";
import type { GroupShare, GroupShares } from "../evaluation/shares.ts";
import { describeAugmentations, isAugmented } from "../images/views.ts";
import type { Comparison, Comparisons } from "../metrics/compare.ts";
import type { ReviewRun } from "../metrics/review.ts";
import { lowerIsBetter } from "../run/history.ts";
import type { Score } from "../run/metrics_file.ts";
import {
  type ConfigDifferences,
  configDifferences,
  rankRuns,
  type Runs,
  type RunSummary,
} from "../run/run.ts";
import type { TrainedRun } from "../training/training.ts";
import { classLabel, counted } from "./card.ts";
import {
  type Displayable,
  displayAll,
  escapeHtml,
  htmlDisplay,
  htmlTable,
  notice,
} from "./display.ts";
import { NO_GROUP } from "./group_charts.ts";

/** What a person should know before training with these settings; nothing for the default ones. */
export function trainingNotices(
  { augmentation, cachedViews, sampling }: Config["training"],
): Displayable[] {
  const unsafe = describeAugmentations(augmentation)
    .filter(({ setting, safe }) => safe === "no" && !setting.startsWith("off"))
    .map((note) => `${note.augmentation} (${note.setting})`);
  return [
    isAugmented(augmentation) && cachedViews === 0 && notice(
      "Every epoch sees the training images changed anew, so the frozen layers run on every one of " +
        "them in every epoch. An epoch takes much longer; training.cachedViews keeps a number of " +
        "views instead.",
    ),
    unsafe.length > 0 && notice(
      `Not safe for this tissue at this strength: ${unsafe.join(", ")}. Notebook 04 says why.`,
      "warning",
    ),
    sampling === "balanced" && notice(
      "Balanced sampling: every class is as frequent in training as the others. Scores on the " +
        "training images are of that prevalence, and the model gives rarer classes higher " +
        "probabilities than their true prevalence warrants.",
    ),
  ].filter((one) => one !== false);
}

/** What must be known about how a training went, besides its history. */
export function outcomeNotices(
  { history, resumedFrom, interrupted, cacheProblem, startingWeights, members }: Omit<
    TrainedRun,
    "kept" | "events"
  >,
): Displayable[] {
  const epochs = history.length;
  const first = "in its first epoch, before there was a model";
  const done = history.at(-1);
  const fold = done?.fold?.replaceAll("_", " ");
  const place = !done
    ? first
    : fold
    ? `after epoch ${done.epoch} of ${fold}; the model comes when all ${members} are trained`
    : `after epoch ${epochs}`;
  const { note, kind } = startingWeights;
  return [
    interrupted && notice(
      `Stopped as you asked, ${place}. All is saved: run the training cell again to go on.`,
      "warning",
    ),
    !interrupted && resumedFrom === epochs &&
    notice("This run was already trained with these settings: nothing was to do."),
    resumedFrom > 0 && resumedFrom < epochs &&
    notice(
      fold
        ? `An earlier training was continued after ${resumedFrom} epochs of its folds.`
        : `An earlier training was continued after its epoch ${resumedFrom}.`,
    ),
    cacheProblem !== null && notice(
      `Not all outputs of the frozen layers were kept, because ${cacheProblem}. The frozen layers were ` +
        "computed anew for those images in every epoch, which takes longer.",
      "warning",
    ),
    notice(`Started from: ${note}.`, kind === "random" ? "warning" : "info"),
  ].filter((one) => one !== false);
}

/** How labels are corrected, what became of a person's own lists, and what corrections changed. */
export function reviewNotices(
  { file, edited, howTo, corrections, pending, doubtful, uncertain }: Omit<
    ReviewRun,
    "of" | "mistakesOf" | "candidates"
  >,
): Displayable[] {
  const listed = doubtful.length + uncertain.length;
  const changes = corrections?.changes.map(({ path, before, after, predicted }) => ({
    path,
    before: classLabel(before),
    now: after === null ? "left out" : classLabel(after),
    "predicted then": classLabel(predicted),
  }));
  return [
    notice(`${listed} images to review are listed in ${file}. ${howTo}`),
    edited.length > 0 && notice(
      `Left as they are, because they were edited or not written by this run: ${
        edited.join(", ")
      }. The new list is ${file}.`,
      "warning",
    ),
    corrections && notice(corrections.sentence),
    changes && htmlTable(changes, { caption: "Corrected labels of test images" }),
    pending > 0 && notice(
      `${counted(pending, "label")} of labels.csv ${pending === 1 ? "is" : "are"} not in this ` +
        "split yet: the scores above are with the old ones. Run notebooks 02 to 06 again.",
      "warning",
    ),
  ].filter((one) => one !== false && one != null);
}

/**
 * What became of an evaluation, and what was done about another prevalence: a warning where
 * something else differs from the images that the model knows.
 */
export function evaluationNotices(evaluation: Evaluation): Displayable[] {
  const { state, priorShift } = evaluation;
  const lines = describeEvaluation(evaluation).join("\n");
  return [
    notice(lines, state === "stopped" ? "warning" : "info"),
    ...(priorShift ? [notice(priorShift.text, priorShift.anotherShift ? "warning" : "info")] : []),
  ];
}

/**
 * Every trained run: its settings that are not at their default, and the scores of the epoch that it
 * has kept, sorted by the score that `config.training.checkpoint.monitor` names. Runs of one split
 * stand together. Settings that all runs share, and what was left out, are below it.
 *
 * @param config Of the run at hand, which is marked.
 */
export function runsTable({ runs, remarks }: Runs, config: Config): Displayable {
  const { monitor } = config.training.checkpoint;
  const ranked = rankRuns(runs, { monitor, run: config.run });
  const { differing, shared } = configDifferences(ranked);
  const headings = { roc_auc: "test AUC", balanced_accuracy: "test balanced accuracy" };
  const tested = Object.entries(headings)
    .filter(([name]) => runs.some(({ test }) => test?.[name] != null));
  const rows = ranked.map((summary) => ({
    run: summary.run === config.run ? `${summary.run} (this run)` : summary.run,
    split: summary.splitSha256.slice(0, 7),
    settings: settingsOf(summary.run, differing),
    "kept epoch": `${summary.best.epoch} of ${summary.history.length}`,
    "val loss": summary.best.val_loss,
    "val accuracy": summary.best.val_accuracy,
    "val AUC": summary.best.val_auc,
    ...Object.fromEntries(tested.map(([name, heading]) => [heading, summary.test?.[name] ?? null])),
  }));
  const table = htmlTable(rows, { caption: "All trained runs" });
  const notes = [
    ...notesOn(ranked, monitor),
    ...(shared.length > 0 ? [`The same in all runs, and not the default: ${listed(shared)}.`] : []),
    ...remarks.map(({ run, text }) => `results/${run}: ${text.replace(/\s+/g, " ")}`),
  ];
  const lines = notes.map((note) =>
    `<div style="margin:4px 12px;max-width:692px;overflow-wrap:anywhere">${escapeHtml(note)}</div>`
  );
  const [first] = ranked;
  const text = first
    ? `${counted(ranked.length, "trained run")}; best ${monitor} ` +
      `${first.best[monitor]?.toFixed(4) ?? "–"}: ${first.run}`
    : "No run has been trained yet";
  return htmlDisplay(`<div>${first ? table.html : ""}${lines.join("")}</div>`, text);
}

/** Which runs differ from the reference by more than chance; in a terminal a line a run. */
export function comparisonTable({ reference, comparisons }: Comparisons): Displayable {
  const cells = ({ run, verdict, differences, tests }: Comparison) => ({
    run,
    verdict,
    ...Object.fromEntries([
      ...Object.entries(differences).map(([score, { value, ...limits }]) => {
        const interval = between(limits, signed);
        const text = value !== null && signed(value) + (interval === null ? "" : ` (${interval})`);
        return [`${scoreTitle(score)} difference`, text || null] as const;
      }),
      ...tests.map(({ score, by, adjusted }) =>
        [
          `p, ${scoreTitle(score)} (${by})`,
          adjusted < 0.001 ? "< 0.001" : digits(adjusted),
        ] as const
      ),
    ]),
  });
  const rows = comparisons.map(cells);
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const tests = comparisons.reduce((sum, { tests }) => sum + tests.length, 0);
  const note =
    `Differences are a run's score less that of ${reference} on the same test images, with ` +
    "the 95 % interval of this comparison alone. What is shown is shown by p below 0.05, after Holm's " +
    `correction over all ${counted(tests, "test")} of the table.`;
  const caption = `Runs compared with ${reference}`;
  const lines = rows.map(({ run, ...rest }) =>
    `${run}: ` +
    Object.entries(rest).map(([name, text]) => name === "verdict" ? text : `${name} ${text}`)
      .join("; ")
  );
  return displayAll(
    { ...htmlTable(rows, { caption, columns }), text: [caption, ...lines].join("\n") },
    tests > 0 ? notice(note) : null,
  );
}

/** The values of one run that are not defaults, of the fields in which runs differ. */
function settingsOf(run: string, differing: ConfigDifferences["differing"]): string {
  const own = differing
    .map(({ field, values, fallback }) => ({ field, value: values.get(run), fallback }))
    .filter(({ value, fallback }) => JSON.stringify(value) !== JSON.stringify(fallback));
  return own.length > 0 ? listed(own) : "defaults";
}

/** "learningRate 0.001, batchSize 16" */
function listed(settings: readonly { field: string; value: unknown }[]): string {
  const all = describeConfig().map(({ field }) => field);
  return settings.map(({ field, value }) =>
    `${shortName(field, all)}\u00a0${typeof value === "string" ? value : JSON.stringify(value)}`
  ).join(", ");
}

function notesOn(ranked: readonly RunSummary[], monitor: Monitor): string[] {
  if (ranked.length === 0) return ["No run has been trained yet."];
  const direction = lowerIsBetter(monitor) ? "lowest" : "highest";
  const splits = new Set(ranked.map(({ splitSha256 }) => splitSha256)).size;
  return [
    `Scores are those of the epoch that each run has kept, sorted by ${monitor}, the ${direction} ` +
    "first. The best of many runs owes part of its validation score to luck. Settings are those " +
    "that are not at their default and differ between runs.",
    splits === 1 ? "" : `The runs are of ${splits} different splits, each with validation and ` +
      "test images of its own: compare scores only between runs with the same entry under split.",
  ].filter(Boolean);
}

/** The shortest end of a dotted path that no other field has too. */
function shortName(field: string, all: readonly string[]): string {
  const parts = field.split(".");
  const ends = parts.map((_, i) => parts.slice(-i - 1).join("."));
  return ends.find((end) => all.filter((other) => `.${other}`.endsWith(`.${end}`)).length === 1) ??
    field;
}

/**
 * The prevalence in all images and in each group: count, share, 95 % confidence interval, and the
 * same corrected for the model's errors; all images first, then the highest prevalence.
 */
export function groupSharesTable({ rows, all }: GroupShares): Displayable {
  const line = ({ n, positive, share, interval, corrected }: GroupShare, group: string) => ({
    group,
    images: n,
    positive,
    share: share === null ? null : percent(share),
    "95 % confidence interval": between(interval, percent),
    "corrected share": corrected.share === null ? null : percent(corrected.share),
    "corrected 95 % confidence interval": between(corrected, percent),
  });
  const cells = [line(all, "all images"), ...rows.map((row) => line(row, row.group || NO_GROUP))];
  return htmlTable(cells, { caption: "Prevalence by group" });
}

/** "12.8 % to 35.2 %"; `null` where there is no interval. */
function between(
  { low, high }: { low: number | null; high: number | null },
  text: (value: number) => string,
): string | null {
  return low === null || high === null ? null : `${text(low)} to ${text(high)}`;
}

/** All scores but those that repeat others. */
const SHOWN = SCORE_NAMES.filter((name) => name !== "kappa" && !name.startsWith("macro_"));

/**
 * Scores on the test images and on a new folder side by side, each with its interval and the new
 * folder's baseline, and how much worse they are there.
 */
export function externalScoresTable(
  { drops, internal, external }: ExternalScores,
  { run }: { run: string },
): Displayable {
  const rows = SHOWN.map((name) => {
    const drop = drops.find((drop) => drop.name === name)!;
    const { baseline } = drop.external;
    return {
      score: name.replaceAll("_", " "),
      [`test images (n = ${internal.images})`]: withInterval(drop.internal),
      [`new images (n = ${external.images})`]: withInterval(drop.external),
      "baseline there": baseline === null ? null : digits(baseline),
      "worse by": drop.drop === null ? null : signed(drop.drop),
      "95 % confidence interval": between(drop, signed),
    };
  });
  return htmlTable(rows, {
    caption: `Run ${run}: scores on new images beside those on test images`,
  });
}

function withInterval({ value, ...limits }: Score): string | null {
  if (value === null) return null;
  const interval = between(limits, digits);
  return digits(value) + (interval === null ? "" : ` (${interval})`);
}

const digits = (value: number): string => value.toFixed(3);

/** With a true minus sign; what rounds to nothing has none. */
function signed(value: number): string {
  const text = Math.abs(value).toFixed(3);
  return value < 0 && Number(text) > 0 ? `−${text}` : text;
}
