import { escapeHtml } from "../escape_html.ts";
import { type Html, html } from "./html.ts";
import type { Section } from "./parts.ts";
import type { ReportData } from "./report_data.ts";
import { dataSection, labelsSection } from "./sections/data.ts";
import { errorsSection, evaluationSection, explanationsSection } from "./sections/errors.ts";
import { limitationsSection } from "./sections/limitations.ts";
import { modelSection, trainingSection } from "./sections/model.ts";
import { partitionSection } from "./sections/partition.ts";
import { performanceSection } from "./sections/performance.ts";
import { reproducibilitySection } from "./sections/reproducibility.ts";
import { summary, titleOf } from "./sections/summary.ts";
import { STYLE } from "./style.ts";

/** The browser itself sees to it that nothing runs and nothing is loaded, whatever the page holds. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; " +
  "form-action 'none'";

/**
 * The report of a run as one HTML page that needs no other file, no network and no script. A pure
 * function of its data, all of which is escaped.
 */
export function reportPage(data: ReportData): string {
  const { title, html: heading } = titleOf(data);
  const sections = sectionsOf(data);
  const contents = html`
    <nav aria-label="Contents">
      <ol>${sections.map(({ id, title }) => html`<li><a href="#${id}">${title}</a></li>`)}</ol>
    </nav>
  `;
  const body = html`<main>
<header>${heading}</header>
${summary(data)}
${contents}
${sections.map(drawn)}
</main>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
${body.markup}
</body>
</html>
`;
}

function sectionsOf(data: ReportData): Section[] {
  const evaluation = evaluationSection(data);
  return [
    dataSection(data),
    labelsSection(data),
    partitionSection(data),
    modelSection(data),
    trainingSection(data),
    performanceSection(data),
    explanationsSection(data),
    errorsSection(data),
    ...(evaluation ? [evaluation] : []),
    limitationsSection(data),
    reproducibilitySection(data),
  ];
}

function drawn({ id, title, body }: Section): Html {
  return html`
    <section id="${id}"><h2>${title}</h2>
    ${body}</section>
  `;
}
