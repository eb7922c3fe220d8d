import { images, percent } from "../../../in_words.ts";
import { classLabel } from "../../theme.ts";
import { type Content, html, nothing } from "../html.ts";
import { paragraph, points, type Section } from "../parts.ts";
import type { ReportData } from "../report_data.ts";

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
