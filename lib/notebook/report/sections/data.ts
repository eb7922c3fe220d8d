import { auditCounts } from "../../../data/audit_policy.ts";
import { classCounts } from "../../../data/class_counts.ts";
import { images, percent } from "../../../in_words.ts";
import { median } from "../../../median.ts";
import { basename } from "node:path";
import { classLabel } from "../../theme.ts";
import { type Html, html, nothing } from "../html.ts";
import { paragraph, type Section, table, tiles } from "../parts.ts";
import type { ReportData } from "../report_data.ts";

/** Where the images come from, how many there are and what is odd about them. */
export function dataSection(data: ReportData): Section {
  const { manifest, config, findings } = data.files;
  const { synthetic, examples } = data;
  const source = synthetic
    ? "The images were drawn by a program; they show no tissue of any person or animal."
    : "The images were given as files. Who the patients were, when and where the images were made, " +
      "with what stain and scanner, and how they were chosen is not in the files: whoever sends " +
      "this report should add it.";
  if (!manifest || !config) {
    return { id: "data", title: "Data source and participants", body: paragraph(source) };
  }
  const counts = classCounts(manifest, config.data.classes);
  const used = manifest.filter(({ status }) => status === "ok");
  const rows = counts.map((count) => [
    classLabel(count.label),
    count.images,
    percent(count.share),
    count.groups,
    count.left_out,
  ]);
  return {
    id: "data",
    title: "Data source and participants",
    body: html`${paragraph(source)}${paragraph(describeGroups(config.data.groupPattern))}
${
      table("Images by class", [
        "class",
        { title: "images used", numeric: true },
        { title: "share", numeric: true },
        { title: "patients or slides", numeric: true },
        { title: "left out", numeric: true },
      ], rows)
    }
${paragraph(describeSizes(used))}
${findings ? audit(data, findings) : nothing}
${
      [...examples].map(([label, own]) =>
        html`<h3>${classLabel(label)}</h3>${
          tiles(own.map(({ path, picture }) => ({ picture, caption: basename(path) })))
        }`
      )
    }`,
  };
}

function describeGroups(pattern: string | null): Html {
  return pattern === null
    ? html`No patient or slide was named (<code>data.groupPattern</code>): every image counts as one of its own.`
    : html`The patient or slide of an image is told by its name, with the pattern <code>${pattern}</code>.`;
}

function describeSizes(used: readonly { width: number; height: number; format: string }[]): string {
  if (used.length === 0) return "";
  const formats = [...Map.groupBy(used, ({ format }) => format)]
    .map(([format, own]) => `${own.length} ${format.toUpperCase()}`);
  const size = (side: "width" | "height") => Math.round(median(used.map((row) => row[side])));
  return `Formats: ${formats.join(", ")}. Median size ${size("width")} × ${size("height")} pixels.`;
}

function audit(
  { files: { config } }: ReportData,
  findings: NonNullable<ReportData["files"]["findings"]>,
): Html {
  const counts = auditCounts(findings, config!.data.audit);
  if (counts.length === 0) return paragraph("Every image was looked at; nothing odd was found.");
  return html`${
    table(
      `What the audit found (${findings.length} in all, each in audit.csv)`,
      ["finding", "what it means", "policy", { title: "count", numeric: true }],
      counts.map(({ finding, meaning, policy, count }) => [
        finding.replaceAll("_", " "),
        meaning,
        policy,
        count,
      ]),
    )
  }${paragraph("drop: left out; warn: used, and shown to whoever ran this; keep: used.")}`;
}

/** What the answers are measured by. */
export function labelsSection({ files: { manifest, config }, synthetic }: ReportData): Section {
  const classes = config?.data.classes ?? [];
  const corrected = manifest?.filter(({ path, label }) => {
    const folder = path.split("/", 1)[0]!;
    return classes.includes(folder) && folder !== label;
  }).length ?? 0;
  return {
    id: "labels",
    title: "Labels",
    body: html`${
      paragraph(
        synthetic
          ? "A crop's label is the kind of glomerulus that the program was told to draw."
          : "Labels are the names of the class folders, or what labels.csv says. They were taken " +
            "as true. Who gave them, by what criteria, how often two people agreed, and whether " +
            "they had seen the model's answers is not in the files.",
      )
    }${
      corrected > 0
        ? paragraph(
          `labels.csv overrules the class folder of ${images(corrected)}.`,
        )
        : nothing
    }`,
  };
}
