import { describeConfig } from "../../../config.ts";
import type { Config } from "../../../config_schema.ts";
import { type Html, html, nothing } from "../html.ts";
import { facts, paragraph, points, type Section } from "../parts.ts";
import type { ReportData } from "../report_data.ts";

/** Everything that is needed to do it again. */
export function reproducibilitySection({ run, files: { config, card } }: ReportData): Section {
  const file = (name: string) => html`<code>results/${run}/${name}</code>`;
  return {
    id: "reproducibility",
    title: "Reproducibility",
    body: html`${
      paragraph(
        "The same images, settings and versions give the same split byte for byte, and the same " +
          "model up to the rounding of the processor.",
      )
    }${
      card
        ? facts([
          ["Model made", card.created],
          ["Seed", card.training.seed],
          [
            "Versions",
            Object.entries(card.versions).map(([name, version]) => `${name} ${version}`).join(
              ", ",
            ) || "not recorded",
          ],
          ["Split", html`<code>${card.data.splitSha256}</code>`],
          ["Manifest", html`<code>${card.data.manifestSha256}</code>`],
          ["Weights", html`<code>${card.weights.sha256}</code>`],
        ])
        : nothing
    }${paragraph("The files beside this page hold everything that is shown here:")}${
      points([
        html`${file("notebooks/")}: the notebooks as they were executed, with every cell's output`,
        html`${file("config.json")}, ${file("split.csv")}, ${file("split_certificate.json")}, ${
          file("manifest.parquet")
        } and ${file("audit.csv")}`,
        html`${file("metrics.json")}, ${file("predictions_test.csv")} and ${file("review.csv")}`,
        html`<code>model/${run}/</code>: the model, also as a file for Python Keras, and its card`,
      ])
    }${config ? settings(config) : nothing}${
      paragraph(
        html`<small>File names stand on this page. Where they name a patient, think before sending it. The headings follow TRIPOD+AI (Collins and others, BMJ 2024) and CLAIM (Mongan, Moy and Kahn, Radiology: Artificial Intelligence 2020) where they apply.</small>`,
      )
    }`,
  };
}

function settings(config: Config): Html {
  return html`<h3>Settings; in bold those that are not at their defaults</h3>
<div class="settings">${
    describeConfig(config).map(({ field, value, default: usual }) => {
      const text = JSON.stringify(value);
      const line = html`<code>${field}</code> ${text}`;
      return html`<div>${text === JSON.stringify(usual) ? line : html`<b>${line}</b>`}</div>`;
    })
  }</div>`;
}
