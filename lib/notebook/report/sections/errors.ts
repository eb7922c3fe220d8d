import { basename } from "node:path";
import { images } from "../../../in_words.ts";
import { EXPLAINED } from "../../save_plots.ts";
import { classLabel } from "../../theme.ts";
import { html, nothing } from "../html.ts";
import { decimal, figure, note, paragraph, type Section, table, tiles } from "../parts.ts";
import type { ReportData } from "../report_data.ts";

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
