import { percent } from "../../../in_words.ts";
import type { SplitCertificate } from "../../../split/certificate.ts";
import { SUBSETS } from "../../../split/split.ts";
import { classLabel } from "../../theme.ts";
import { type Html, html, nothing } from "../html.ts";
import { facts, note, paragraph, type Section, table } from "../parts.ts";
import type { ReportData } from "../report_data.ts";

/** How the images were divided, and the proof that nothing crosses. */
export function partitionSection({ files: { certificate, config } }: ReportData): Section {
  const head = { id: "partition", title: "Partition" };
  if (!certificate) return { ...head, body: paragraph("The images have not been split yet.") };
  const how = certificate.source === "given"
    ? "The split was given by the person who ran this."
    : `The split was drawn with seed ${certificate.seed}: whole patients or slides are dealt out so ` +
      "that sizes and class shares come as near to the request as they allow.";
  return {
    ...head,
    body: html`${paragraph(how)}${subsets(certificate, config?.data.classes ?? [])}${
      paragraph(
        "Certified: no patient or slide, no file with the same bytes and none of the " +
          `${certificate.near_duplicate_pairs} pairs of images that show the same crosses from one ` +
          "subset to another.",
      )
    }${certificate.note === null ? nothing : note("warning", certificate.note)}${
      facts([
        ["Split", html`<code>${certificate.split_sha256}</code>`],
        ["Manifest", html`<code>${certificate.manifest_sha256}</code>`],
      ])
    }${
      paragraph(
        html`<code>deno task verify RUN</code> checks this again, from the images themselves.`,
      )
    }`,
  };
}

function subsets(certificate: SplitCertificate, classes: readonly string[]): Html {
  const { counts, groups, fractions_achieved: achieved } = certificate;
  const others = SUBSETS.flatMap((subset) => Object.keys(counts[subset]));
  const labels = [...new Set([...classes, ...others])];
  const columns = [
    "subset",
    ...labels.map((label) => ({ title: classLabel(label), numeric: true } as const)),
    { title: "images", numeric: true } as const,
    { title: "share", numeric: true } as const,
    { title: "patients or slides", numeric: true } as const,
  ];
  return table(
    "Images by subset",
    columns,
    SUBSETS.map((subset) => [
      subset,
      ...labels.map((label) => counts[subset][label] ?? 0),
      Object.values(counts[subset]).reduce((total, n) => total + n, 0),
      percent(achieved[subset]),
      groups[subset],
    ]),
  );
}
