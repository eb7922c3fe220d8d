import { basename } from "node:path";
import { writeAtomic } from "../core/files.ts";
import { runPaths } from "../core/paths.ts";
import { images, percent, SCORE_MEANINGS, SCORE_NAMES, SYNTHETIC_NOTE } from "../core/words.ts";
import { majorityBaseline } from "../data/scan.ts";
import { betterThanBaseline } from "../metrics/baseline.ts";
import { describeProbe, describeTestReads } from "../run/metrics_file.ts";
import type { Predictions } from "../run/predictions.ts";
import { classLabel, quoted } from "./card.ts";
import { readReport, type ReportData } from "./report_files.ts";
import {
  code,
  type Content,
  decimal,
  facts,
  figure,
  html,
  interval,
  note,
  numeric,
  page,
  paragraph,
  points,
  type Section,
  section,
  table,
  tiles,
} from "./report_page.ts";
import {
  dataSection,
  labelsSection,
  modelSection,
  partitionSection,
  reproducibilitySection,
  trainingSection,
} from "./report_run.ts";
import { EXPLAINED, TEST_PLOTS } from "./save_plots.ts";

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
  const path = runPaths(run).report;
  await writeAtomic(path, reportPage(await readReport(run, stopped)));
  return path;
}

/** The report of a run as HTML: a pure function of its data, all of which is escaped. */
export function reportPage(data: ReportData): string {
  const { run, made, files } = data;
  const title = `Report of run ${run}`;
  const names = (files.card?.architecture.classes ?? files.config?.data.classes ?? []).map(quoted);
  const what = names.length === 0
    ? "a model of glomeruli"
    : `a model that tells ${names.slice(0, -1).join(", ")} from ${names.at(-1)}`;
  const subtitle = `Development and internal validation of ${what}. Made on ${made.slice(0, 10)} ` +
    "from the files of the run.";
  const header =
    html`<header><h1>${title}</h1>${html`<p class="subtitle">${subtitle}</p>`}</header>`;
  const sections = [
    dataSection(data),
    labelsSection(data),
    partitionSection(data),
    modelSection(data),
    trainingSection(data),
    performanceSection(data),
    explanationsSection(data),
    errorsSection(data),
    evaluationSection(data),
    limitationsSection(data),
    reproducibilitySection(data),
  ];
  return page(title, [header, ...summary(data)], sections.filter((one) => one !== null));
}

type Test = NonNullable<ReportData["test"]>;

function positiveOf({ classes, labels }: Predictions) {
  const count = labels.filter((label) => label === 1).length;
  return { name: quoted(classes.at(-1)!), count, share: percent(count / labels.length) };
}

function summary({ synthetic, stopped, problems, test, files: { split } }: ReportData): Content[] {
  const groups = new Set(split?.map(({ group }) => group)).size;
  const isGrouped = split?.some(({ path, group }) => path !== group);
  const positive = test && positiveOf(test.predictions);
  const most = test && majorityBaseline(test.predictions.rows.map(({ label }) => label));
  return [
    synthetic ? note("warning", html`<b>${SYNTHETIC_NOTE}</b>`) : null,
    stopped === null ? null : note(
      "bad",
      html`
        <b>The run stopped before its end.</b> This page shows what there was then.
      `,
      html`<span class="pre">${stopped}</span>`,
    ),
    problems.length === 0
      ? null
      : note("bad", html`<b>Not everything here fits together.</b>`, points(problems)),
    test ? verdict(test) : note(
      "warning",
      html`<b>There are no test scores ${problems.length > 0 ? "of this model" : "yet"}.</b>`,
      " Nothing is known about how well the model does.",
    ),
    html`<h2 id="short">In short</h2>`,
    facts({
      Images: split && `${images(split.length)} from ${groupsText(isGrouped ? groups : null)}`,
      "Tested on": test && `${images(test.predictions.rows.length)} ` +
          (test.predictions.source === "out of fold"
            ? "out of fold: each by a member of the model that never saw its patient or slide"
            : "that took no part in training") +
          `, ${positive!.count} of them ${positive!.name}`,
      Baseline: most && `${percent(most.accuracy)} of predictions would be right by always ` +
          `predicting ${quoted(most.label)}`,
      Accuracy: mainScore(test, "accuracy"),
      Sensitivity: mainScore(test, "sensitivity"),
      Specificity: mainScore(test, "specificity"),
      "ROC-AUC": mainScore(test, "roc_auc"),
      "External validation": "none: no images of another source were tested",
      Use: "research and teaching; not a medical device",
    }),
  ];
}

function verdict({ predictions, scores: { roc_auc: auc } }: Test): Content {
  const { better, headline, sentence } = betterThanBaseline(predictions);
  // of fewer groups an interval says too little to be an argument
  const ranksWell = (auc?.low ?? 0) > 0.5 && new Set(predictions.groups).size >= 5;
  const ranks = !better && auc && ranksWell
    ? ` Its probabilities do rank images better than chance (ROC-AUC ${decimal(auc.value)}, ` +
      `${interval(auc)}): more images for training, or another threshold, may make it useful.`
    : "";
  return note(better ? "info" : "bad", html`<b>${headline}</b> ${sentence}${ranks}`);
}

function mainScore(test: ReportData["test"], name: (typeof SCORE_NAMES)[number]): Content {
  const score = test?.scores[name];
  if (!score) return null;
  if (score.value === null) return score.reason ?? "undefined";
  return html`<b>${decimal(score.value)}</b> (${
    score.low === null ? "no interval" : `95 % confidence interval ${interval(score)}`
  })`;
}

/** @param groups How many there are; `null`: not known. */
function groupsText(groups: number | null): string {
  if (groups === null) return "an unknown number of patients or slides";
  return groups === 1 ? "a single patient or slide" : `${groups} patients or slides`;
}

function performanceSection({ test, plots }: ReportData): Section {
  const head = ["performance", "Performance"] as const;
  if (!test) return section(...head, "The model has not been tested: notebook 06 does.");
  const reads = describeTestReads(test.reads);
  const probe = test.probe && describeProbe(test.probe);
  return section(
    ...head,
    test.predictions.source === "out of fold"
      ? "Every image was tested, by the member of the model that never saw its patient or slide, " +
        "and with the decision learnt on the other folds."
      : null,
    `Scores are those of ${positiveOf(test.predictions).name} on the test images. The baseline ` +
      "always predicts the more frequent class, with its prevalence as the probability: what is " +
      "not better than it is of no use. An interval says what other test images of the same " +
      "source might have given; it says nothing about another source.",
    note(reads.isClean ? "info" : "warning", reads.text),
    probe && note(probe.isBeaten ? "info" : "warning", probe.text),
    scoreTables(test),
    TEST_PLOTS.map((name) => plots.has(name) ? figure(plots.get(name)!) : null),
  );
}

/** How intervals were found, and why something is undefined, is said below the table. */
function scoreTables({ scores, probe }: Test): Content {
  const known = SCORE_NAMES.flatMap((name) => scores[name] ? [{ name, ...scores[name] }] : []);
  const reasons = ({ method, reason }: (typeof known)[number]) =>
    [method === "none" ? "" : method, reason ?? ""].filter(Boolean);
  const notes = [...new Set(known.flatMap(reasons))];
  const letter = (text: string) => String.fromCharCode(97 + notes.indexOf(text) % 26);
  const ofProbe = probe && "scores" in probe ? probe.scores : null;
  const columns = ["value", "95\u00a0% confidence interval", "baseline", "probe", "n"].map(numeric);
  const published = known.flatMap(({ name, value, references = [] }) =>
    references.map(({ name: by, note, value: published }) => [
      ...[SCORE_MEANINGS[name].title, decimal(published), decimal(value), by, note],
    ])
  );
  return [
    table(
      "Test scores",
      ["score", ...columns, "what it says"],
      known.map((score) => [
        html`<b>${SCORE_MEANINGS[score.name].title}</b>&nbsp;<sup>${
          reasons(score).map(letter).join(" ")
        }</sup>`,
        ...[decimal(score.value), interval(score), decimal(score.baseline)],
        ...[decimal(ofProbe?.[score.name] ?? null), score.n],
        html`<small>${SCORE_MEANINGS[score.name].meaning}</small>`,
      ]),
    ),
    html`<p class="footnotes">${
      notes.map((text) =>
        html`
          <sup>${letter(text)}</sup> ${text}.
        `
      )
    }n: images that the score is a share or mean of. –: undefined.</p>`,
    published.length === 0 ? null : table(
      "Published scores, measured on other images: no comparison like with like",
      ["score", numeric("published"), numeric("here"), "by", "what differs"],
      published,
    ),
  ];
}

function explanationsSection({ files: { mapCheck }, plots, test }: ReportData): Section {
  const names = [...plots.keys()].filter((name) => test && EXPLAINED.test(name))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const head = ["explanations", "Explanations"] as const;
  if (names.length === 0) {
    return section(...head, "No predictions have been explained: notebook 06 does.");
  }
  return section(
    ...head,
    "Beside each image are the places that spoke for the model's prediction (Grad-CAM, Selvaraju " +
      "and others 2017). A map shows where the model looked, not that it was right to.",
    mapCheck && note(mapCheck.doubtful ? "warning" : "info", mapCheck.sentence),
    names.map((name) => figure(plots.get(name)!, "pictures")),
  );
}

function errorsSection({ run, test, mistakes }: ReportData): Section {
  const head = ["errors", "Errors"] as const;
  if (!test) return section(...head, "The model has not been tested.");
  const { rows } = test.predictions;
  const wrong = rows.filter((row) => row.label !== row.predicted);
  if (wrong.length === 0) return section(...head, `None of the ${images(rows.length)} is wrong.`);
  const kinds = Map.groupBy(wrong, (row) => JSON.stringify([row.label, row.predicted]));
  return section(
    ...head,
    `${wrong.length} of ${images(rows.length)} ${wrong.length === 1 ? "was" : "were"} predicted ` +
      "otherwise than labelled. Some are the model's errors, some may be wrong labels.",
    table(
      "Kinds of errors",
      ["label", "prediction", numeric("images")],
      [...kinds.values()].sort((a, b) => b.length - a.length).map((own) => [
        ...[classLabel(own[0]!.label), classLabel(own[0]!.predicted), own.length],
      ]),
    ),
    html`<h3>The most confident mistakes</h3>`,
    tiles(mistakes.map(({ path, picture, label, predicted, probability }) => ({
      picture,
      caption: html`<b>${basename(path)}</b><br>labelled ${classLabel(label)}<br>predicted ${
        classLabel(predicted)
      }, p = ${decimal(probability)}`,
    }))),
    `p: probability of ${positiveOf(test.predictions).name}.`,
    paragraph(
      ...["To correct labels: ", code(`results/${run}/review.csv`)],
      " lists the images to look at again; notebook 06 says how it is used.",
    ),
  );
}

function evaluationSection({ evaluation }: ReportData): Section | null {
  if (!evaluation) return null;
  const { classified, unreadable, review, classes, shareText } = evaluation;
  return section(
    "evaluation",
    "New images",
    `${images(classified)} of a folder without labels were classified, ${review} of which are ` +
      `left for a person's review; ${unreadable} could not be read. The predictions are in ` +
      "evaluation.csv. How many of them are right is not known.",
    table(
      "Predictions",
      ["prediction", numeric("images")],
      classes.map(({ name, images }) => [classLabel(name), images]),
    ),
    shareText,
  );
}

function limitationsSection(data: ReportData): Section {
  const limits = Object.entries(limitsOf(data))
    .flatMap(([title, text]) => text === null ? [] : html`<b>${title}</b> ${text}`);
  return section(
    "limitations",
    "Limitations and intended use",
    "Meant for sorting crops of single glomeruli in research and teaching, with a person looking " +
      "at what the model is unsure of. Not for diagnosis, and not a medical device.",
    points(limits),
    data.synthetic
      ? null
      : "What a reader will ask and these files cannot answer, to be added by whoever collected " +
        "the images: the purpose and the protocol of the study, approval by an ethics committee, " +
        "period and places, criteria of inclusion, age, sex and diseases of the patients, stain " +
        "and scanner, who labelled and how well they agreed, how the number of images was chosen, " +
        "and funding.",
  );
}

/** What holds of this run, by its title; `null`: it does not. */
function limitsOf({ synthetic, files, test }: ReportData): Record<string, string | null> {
  const unknown = files.certificate?.note ?? null;
  const positive = test && positiveOf(test.predictions);
  const n = test?.predictions.rows.length ?? 0;
  const groups = new Set(test?.predictions.groups).size;
  // fewer of a class give its rate to ten points at best; of fewer patients one decides
  const isSmall = positive !== null &&
    (Math.min(positive.count, n - positive.count) < 100 || groups < 20);
  const readers = test?.reads.readers.length ?? 0;
  return {
    "The images are synthetic.": synthetic
      ? "A program drew them; no score here says anything about tissue."
      : null,
    "No external validation.":
      "Training and test images have one source. With another scanner, stain, laboratory or way " +
      "of cutting crops expect other scores, mostly lower ones: test the model on labelled images " +
      "of your own first.",
    [isSmall ? "A small test." : "The test."]: test &&
      `${images(n)}, ${positive!.count} of them ${positive!.name}, from ${
        groupsText(unknown === null ? groups : null)
      }. The intervals show ${
        isSmall
          ? "how little that settles; a handful of images more or less would move every score."
          : "what that settles."
      }`,
    "The prevalence.": test &&
      `${positive!.share} of the test images are ${positive!.name}. Where the prevalence is ` +
        "another, accuracy, precision and F1 change though the model does not, and its threshold " +
        "may no longer be a good one.",
    "Patients are not told apart.": unknown,
    "The test was read more than once,": readers > 1
      ? `by ${readers} models or thresholds: choosing among them makes scores look better than ` +
        "they are."
      : null,
    "Labels were taken as true.": "Where they are wrong, so are the scores.",
    "No “none of these”.": "Whatever it is shown, the model names one of its classes.",
    "Not examined:": files.split &&
      "whether it works equally well for all patients (age, sex, origin, disease).",
  };
}

/** `report.ts RUN [WHY_IT_STOPPED]`: writes a run's report and prints its path. */
if (import.meta.main) {
  const [run = "default", stopped = null] = Deno.args;
  console.log(await writeReport(run, { stopped }));
}
