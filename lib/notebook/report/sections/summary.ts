import { majorityBaseline } from "../../../data/class_counts.ts";
import { images, percent } from "../../../in_words.ts";
import { betterThanBaseline } from "../../../metrics/better_than_baseline.ts";
import { positiveClass } from "../../../metrics/positive_class.ts";
import { SYNTHETIC_NOTE } from "../../../setup/summary.ts";
import { classLabel } from "../../theme.ts";
import { type Content, type Html, html, nothing } from "../html.ts";
import { decimal, facts, interval, note, points } from "../parts.ts";
import type { ReportData, ReportedTest } from "../report_data.ts";

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
