import { describeTestReads } from "../../../metrics/test_reads.ts";
import { SCORE_MEANINGS } from "../../../score_meanings.ts";
import { SCORE_NAMES } from "../../../score_names.ts";
import { classLabel } from "../../theme.ts";
import { type Html, html, nothing } from "../html.ts";
import { decimal, figure, interval, note, paragraph, type Section, table } from "../parts.ts";
import type { ReportData, ReportedTest } from "../report_data.ts";

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
