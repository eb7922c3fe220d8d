import { basename } from "node:path";
import { images, percent, SCORE_MEANINGS, SCORE_NAMES, SYNTHETIC_NOTE } from "../core/words.ts";
import { majorityBaseline } from "../data/scan.ts";
import { betterThanBaseline } from "../metrics/baseline.ts";
import { positiveClass } from "../metrics/rates.ts";
import { describeTestReads } from "../run/metrics_file.ts";
import { classLabel } from "./card.ts";
import {
  type Content,
  decimal,
  facts,
  figure,
  type Html,
  html,
  interval,
  note,
  nothing,
  paragraph,
  points,
  type Section,
  table,
  tiles,
} from "./report_page.ts";
import type { ReportData, ReportedTest } from "./report_run.ts";
import { EXPLAINED } from "./save_plots.ts";

/** Of fewer an interval by group says too little to be an argument. */
const FEWEST_GROUPS = 5;

/** The head of the page: what the model is, and what a reader must know before anything else. */
export function titleOf({ run, made, files }: ReportData): { title: string; html: Html } {
  const classes = files.card?.architecture.classes ?? files.config?.data.classes ?? [];
  const names = classes.map((name) => `“${classLabel(name)}”`);
  const what = classes.length === 0
    ? "a model of glomeruli"
    : `a model that tells ${names.slice(0, -1).join(", ")} from ${names.at(-1)}`;
  return {
    title: `Report of run ${run}`,
    html: html`
      <h1>Report of run ${run}</h1>
      <p
        class="subtitle">Development and internal validation of ${what}. Made on ${made.slice(
          0,
          10,
        )} from the files of the run.</p>
    `,
  };
}

/** Warnings, the verdict and the main numbers, before the first section. */
export function summary(data: ReportData): Html {
  const { synthetic, stopped, problems, test } = data;
  return html`${synthetic ? note("warning", html`<b>${SYNTHETIC_NOTE}</b>`) : nothing}
${
    stopped === null ? nothing : note(
      "bad",
      html`
        <b>The run stopped before its end.</b> This page shows what there was then. <span
          class="pre">${stopped}</span>
      `,
    )
  }
${
    problems.length === 0
      ? nothing
      : note("bad", html`<b>Not everything here fits together.</b>${points(problems)}`)
  }
${
    test ? verdict(data, test) : note(
      "warning",
      html`<b>There are no test scores${
        problems.length > 0 ? " of this model" : " yet"
      }.</b> Nothing is known about how well the model does.`,
    )
  }
${inShort(data)}`;
}

/** Whether the model is better than no model, in the first lines. */
function verdict({ files }: ReportData, { predictions, scores }: ReportedTest): Html {
  const { indexOf } = positiveClass(files.card!.architecture.classes);
  const groups = predictions.map(({ group }) => group);
  const outcome = betterThanBaseline({
    labels: predictions.map(({ label }) => indexOf(label)),
    predicted: predictions.map((row) => indexOf(row.predicted)),
    groups,
  });
  const auc = scores.roc_auc;
  const ranksWell = auc?.value != null && auc.low !== null && auc.low > 0.5 &&
    new Set(groups).size >= FEWEST_GROUPS;
  const ranks = !outcome.better && ranksWell
    ? ` Its probabilities do rank images better than chance (ROC-AUC ${decimal(auc.value)}, ` +
      `${interval(auc)}): more images for training, or another threshold, may make it useful.`
    : "";
  const kind = outcome.better ? "info" : "bad";
  return note(kind, html`<b>${outcome.headline}</b> ${outcome.sentence}${ranks}`);
}

function inShort({ files, test }: ReportData): Html {
  const { split, card } = files;
  const groups = new Set(split?.map(({ group }) => group)).size;
  const grouped = split?.some(({ path, group }) => path !== group);
  const score = (name: "accuracy" | "sensitivity" | "specificity" | "roc_auc"): Content | null => {
    const found = test?.scores[name];
    if (!found) return null;
    if (found.value === null) return found.reason ?? "undefined";
    const limits = found.low === null ? "no interval" : `95 % interval ${interval(found)}`;
    return html`<b>${decimal(found.value)}</b> (${limits})`;
  };
  const most = test && majorityBaseline(test.predictions.map(({ label }) => label));
  return html`<h2 id="short">In short</h2>${
    facts([
      [
        "Images",
        split &&
        `${images(split.length)} from ${
          grouped ? `${groups} patients or slides` : "an unknown number of patients or slides"
        }`,
      ],
      ["Tested on", test && tested(test, card!.architecture.classes)],
      [
        "Baseline",
        most && `${percent(most.accuracy)} of answers would be right by always answering ` +
          `“${classLabel(most.label)}”`,
      ],
      ["Accuracy", score("accuracy")],
      ["Sensitivity", score("sensitivity")],
      ["Specificity", score("specificity")],
      ["ROC-AUC", score("roc_auc")],
      ["External validation", "none: no images of another source were tested"],
      ["Use", "research and teaching; not a medical device"],
    ])
  }`;
}

function tested({ predictions }: ReportedTest, classes: readonly string[]): string {
  const positive = classes.at(-1)!;
  const count = predictions.filter(({ label }) => label === positive).length;
  return `${images(predictions.length)} that took no part in training, ${count} of them ` +
    `“${classLabel(positive)}”`;
}

/** In the order in which they are read. */
const FIGURES = [
  "confusion_matrix",
  "roc",
  "precision_recall",
  "threshold",
  "score_histogram",
  "reliability",
  "groups",
];

/** Test scores with their intervals, and the plots of them. */
export function performanceSection({ files, test, plots }: ReportData): Section {
  const head = { id: "performance", title: "Performance" };
  if (!test) {
    return { ...head, body: paragraph("The model has not been tested: notebook 06 does.") };
  }
  const reads = describeTestReads(test.reads);
  const positive = files.card!.architecture.classes.at(-1)!;
  return {
    ...head,
    body: html`${
      paragraph(
        `Scores are those of “${classLabel(positive)}” on the test images. The baseline always ` +
          "gives the more frequent answer, and its share as the probability: what is not better " +
          "than it is of no use. An interval says what other test images of the same source " +
          "might have given; it says nothing about another source.",
      )
    }
${note(reads.isClean ? "info" : "warning", reads.text)}
${scoreTable(test)}${published(test)}
${FIGURES.map((name) => plots.has(name) ? figure(plots.get(name)!) : nothing)}`,
  };
}

/** How intervals were found, and why something is undefined, is said below the table. */
function scoreTable({ scores }: ReportedTest): Html {
  const notes: string[] = [];
  const mark = (text: string): string => {
    if (!notes.includes(text)) notes.push(text);
    return letter(notes.indexOf(text));
  };
  const rows = SCORE_NAMES.flatMap((name) => {
    const score = scores[name];
    if (!score) return [];
    const { title, meaning } = SCORE_MEANINGS[name];
    const marks = [score.method === "none" ? "" : score.method, score.reason ?? ""]
      .filter((text) => text !== "").map(mark);
    return [[
      html`<b>${title}</b>&nbsp;<sup>${marks.join(" ")}</sup>`,
      decimal(score.value),
      interval(score),
      decimal(score.baseline),
      score.n,
      html`<small>${meaning}</small>`,
    ]];
  });
  return html`
    ${table("Test scores", [
      "score",
      { title: "value", numeric: true },
      { title: "95\u00a0%\u00a0interval", numeric: true },
      { title: "baseline", numeric: true },
      { title: "n", numeric: true },
      "what it says",
    ], rows)}<p
      class="footnotes">${notes.map((text, i) =>
        html`
          <sup>${letter(i)}</sup> ${text}.
        `
      )}n: images that the score is a share or mean of. –: undefined.</p>
  `;
}

function letter(index: number): string {
  return String.fromCharCode("a".charCodeAt(0) + index % 26);
}

function published({ scores }: ReportedTest): Html {
  const rows = SCORE_NAMES.flatMap((name) =>
    (scores[name]?.references ?? []).map((reference) => [
      SCORE_MEANINGS[name].title,
      decimal(reference.value),
      decimal(scores[name]!.value),
      reference.name,
      reference.note,
    ])
  );
  if (rows.length === 0) return nothing;
  return table("Published scores, measured on other images: no comparison like with like", [
    "score",
    { title: "published", numeric: true },
    { title: "here", numeric: true },
    "by",
    "what differs",
  ], rows);
}

/** Where in the images the model found its answers. */
export function explanationsSection({ files: { mapCheck }, plots, test }: ReportData): Section {
  const names = [...plots.keys()].filter((name) => EXPLAINED.test(name))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const head = { id: "explanations", title: "Explanations" };
  if (!test || names.length === 0) {
    return { ...head, body: paragraph("No answers have been explained: notebook 06 does.") };
  }
  return {
    ...head,
    body: html`${
      paragraph(
        "Beside each image are the places that spoke for the model's answer (Grad-CAM, Selvaraju " +
          "and others 2017). A map shows where the model looked, not that it was right to.",
      )
    }${mapCheck ? note(mapCheck.doubtful ? "warning" : "info", mapCheck.sentence) : nothing}
${names.map((name) => figure(plots.get(name)!, "pictures"))}`,
  };
}

/** What the model got wrong. */
export function errorsSection({ run, test, mistakes, files: { card } }: ReportData): Section {
  const head = { id: "errors", title: "Errors" };
  if (!test) return { ...head, body: paragraph("The model has not been tested.") };
  const wrong = test.predictions.filter((row) => row.label !== row.predicted);
  const kinds = Map.groupBy(wrong, (row) => JSON.stringify([row.label, row.predicted]));
  const rows = [...kinds.values()].sort((a, b) => b.length - a.length).map((own) => [
    classLabel(own[0]!.label),
    classLabel(own[0]!.predicted),
    own.length,
  ]);
  if (wrong.length === 0) {
    return { ...head, body: paragraph(`None of the ${images(test.predictions.length)} is wrong.`) };
  }
  const positive = classLabel(card!.architecture.classes.at(-1)!);
  return {
    ...head,
    body: html`${
      paragraph(
        `${wrong.length} of ${images(test.predictions.length)} ${
          wrong.length === 1 ? "was" : "were"
        } answered otherwise than ` +
          "labelled. Some are the model's errors, some may be wrong labels.",
      )
    }
${table("Kinds of errors", ["label", "answer", { title: "images", numeric: true }], rows)}
<h3>The most confident mistakes</h3>
${
      tiles(mistakes.map(({ path, picture, label, predicted, probability }) => ({
        picture,
        caption: html`<b>${basename(path)}</b><br>labelled ${classLabel(label)}<br>answered ${
          classLabel(predicted)
        }, p = ${decimal(probability)}`,
      })))
    }
${paragraph(`p: probability of “${positive}”.`)}
${
      paragraph(
        html`To correct labels: <code>results/${run}/review.csv</code> lists the images to look at again; notebook 06 says how it is used.`,
      )
    }`,
  };
}

/** What section 7 found in new images. */
export function evaluationSection({ evaluation }: ReportData): Section | null {
  if (!evaluation) return null;
  const { classified, unreadable, review, classes, shareText } = evaluation;
  return {
    id: "evaluation",
    title: "New images",
    body: html`${
      paragraph(
        `${
          images(classified)
        } of a folder without labels were classified, ${review} of which are ` +
          `left for a person to look at; ${unreadable} could not be read. The answers are in ` +
          "evaluation.csv. How many of them are right is not known.",
      )
    }${
      table(
        "Answers",
        ["answer", { title: "images", numeric: true }],
        classes.map(({ name, images }) => [classLabel(name), images]),
      )
    }${paragraph(shareText)}`,
  };
}

/** With fewer of a class in the test, its rate is known to ten points at best. */
const FEW_IMAGES = 100;

/** With fewer, one patient decides. */
const FEW_GROUPS = 20;

/** How far the numbers reach, in plain words. */
export function limitationsSection(data: ReportData): Section {
  return {
    id: "limitations",
    title: "Limitations and intended use",
    body: html`${
      paragraph(
        "Meant for sorting crops of single glomeruli in research and teaching, with a person " +
          "looking at what the model is unsure of. Not for diagnosis, and not a medical device.",
      )
    }${points(limits(data))}${
      data.synthetic ? nothing : paragraph(
        "What a reader will ask and these files cannot answer, to be added by whoever collected the " +
          "images: the purpose and the protocol of the study, approval by an ethics committee, " +
          "period and places, criteria of inclusion, age, sex and diseases of the patients, " +
          "stain and scanner, who labelled and how well they agreed, how the number of images was " +
          "chosen, and funding.",
      )
    }`,
  };
}

function limits({ synthetic, files, test }: ReportData): Content[] {
  const { split, certificate, card } = files;
  const found: Content[] = [];
  if (synthetic) {
    found.push(
      html`<b>The images are synthetic.</b> A program drew them; no score here says anything about tissue.`,
    );
  }
  found.push(
    html`<b>No external validation.</b> Training and test images have one source. With another scanner, stain, laboratory or way of cutting crops expect other scores, mostly lower ones: test the model on labelled images of your own first.`,
  );
  if (test && card) {
    const positive = card.architecture.classes.at(-1)!;
    const n = test.predictions.length;
    const positives = test.predictions.filter(({ label }) => label === positive).length;
    const groups = new Set(test.predictions.map(({ group }) => group)).size;
    const few = Math.min(positives, n - positives) < FEW_IMAGES || groups < FEW_GROUPS;
    found.push(
      html`<b>${few ? "A small test." : "The test."}</b> ${images(n)}, ${positives} of them “${
        classLabel(positive)
      }”, from ${groupsText(certificate?.note ?? null, groups)}. ${
        few
          ? "The intervals show how little that settles; a handful of images more or less would move every score."
          : "The intervals show what that settles."
      }`,
      html`<b>The share of classes.</b> ${percent(positives / n)} of the test images are “${
        classLabel(positive)
      }”. Where that share is another, accuracy, precision and F1 change though the model does not, and its threshold may no longer be a good one.`,
    );
  }
  if (certificate?.note) found.push(html`<b>Patients are not told apart.</b> ${certificate.note}`);
  if (test && test.reads.readers.length > 1) {
    found.push(
      html`<b>The test was read more than once,</b> by ${test.reads.readers.length} models or thresholds: choosing among them makes scores look better than they are.`,
    );
  }
  found.push(
    html`<b>Labels were taken as true.</b> Where they are wrong, so are the scores.`,
    html`<b>No “none of these”.</b> Whatever it is shown, the model names one of its classes.`,
  );
  if (split) {
    found.push(
      html`<b>Not examined:</b> whether it works equally well for all patients (age, sex, origin, disease).`,
    );
  }
  return found;
}

function groupsText(note: string | null, groups: number): string {
  if (note !== null) return "an unknown number of patients or slides";
  return groups === 1 ? "a single patient or slide" : `${groups} patients or slides`;
}
