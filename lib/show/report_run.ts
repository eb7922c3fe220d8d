import { basename } from "node:path";
import { describeConfig } from "../core/config.ts";
import type { Config } from "../core/settings.ts";
import { median } from "../core/stats.ts";
import { images, percent } from "../core/words.ts";
import { classCounts } from "../data/scan.ts";
import type { MapCheck } from "../run/checks.ts";
import { auditCounts, type Finding } from "../run/findings.ts";
import type { HistoryRow, TrainingEvent } from "../run/history.ts";
import type { ManifestRow } from "../run/manifest.ts";
import type { Metrics } from "../run/metrics_file.ts";
import type { ModelCard } from "../run/model_card.ts";
import type { Prediction } from "../run/predictions.ts";
import { type SplitCertificate, type SplitRow, SUBSETS } from "../run/split_file.ts";
import { classLabel, thresholdText } from "./card.ts";
import {
  type Content,
  decimal,
  facts,
  figure,
  type Html,
  html,
  note,
  nothing,
  paragraph,
  type Picture,
  points,
  type Section,
  table,
  tiles,
} from "./report_page.ts";

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

/** The network, what it starts from and how its probabilities become answers. */
export function modelSection({ files: { card } }: ReportData): Section {
  const head = { id: "model", title: "Model" };
  if (!card) return { ...head, body: paragraph("There is no trained model yet.") };
  const { architecture, preprocessing, frozen, startingWeights, weights } = card;
  const size = `${architecture.imageSize} × ${architecture.imageSize} pixels`;
  return {
    ...head,
    body: html`${
      facts([
        [
          "Network",
          `${architecture.backbone} with two dense layers on top, ` +
          `${weights.parameters.toLocaleString("en-GB")} parameters`,
        ],
        [
          "Input",
          `${size}, made square by “${preprocessing.resize.replaceAll("_", " ")}”; stain ` +
          `normalisation: ${preprocessing.stain?.method ?? "none"}`,
        ],
        [
          "Output",
          `a probability of each class: ${
            architecture.classes.map((name) => `“${classLabel(name)}”`).join(", ")
          }; the last one is the positive class`,
        ],
        ["Started from", startingWeights.note],
        [
          "Trained",
          `the last ${frozen.unfreezeLast} layers of the backbone and those on top; ` +
          `BatchNorm ${frozen.batchNorm}`,
        ],
        ["Calibration", calibration(card)],
        ["Threshold", threshold(card)],
        ["Accepted without review", band(card)],
        ["Weights", html`<code>${weights.sha256}</code>`],
      ])
    }${
      paragraph(
        html`The model card, <code>model/${card.run}/model_card.md</code>, says the same for whoever receives the model.`,
      )
    }`,
  };
}

function calibration({ decision: { calibration } }: ModelCard): string {
  if (calibration.method === "none") return "none: probabilities are as the network gives them";
  return `${calibration.method}, fitted on validation images (slope ${
    calibration.slope.toPrecision(3)
  }, intercept ${calibration.intercept.toPrecision(3)})`;
}

function threshold({ architecture, decision }: ModelCard): string {
  if (architecture.classes.length > 2) return "none: the most probable class is the answer";
  return `positive from a probability of ${thresholdText(decision.threshold)} on (rule: ` +
    `${decision.rule}${decision.rule === "default" ? "" : ", on validation images"})`;
}

function band({ decision: { acceptBand } }: ModelCard): string {
  if (!acceptBand) return "nothing: no range of probabilities was right often enough on validation";
  return `probabilities at most ${thresholdText(acceptBand.low)} or at least ${
    thresholdText(acceptBand.high)
  }, chosen on validation images for ${(100 * acceptBand.errorRate).toFixed(1)} % errors`;
}

/** How it was trained. */
export function trainingSection({ files, plots }: ReportData): Section {
  const { card, config, history, events } = files;
  const head = { id: "training", title: "Training" };
  if (!history?.length) return { ...head, body: paragraph("There was no training yet.") };
  const best = history.find(({ epoch }) => epoch === card?.training.bestEpoch);
  const seconds = history.reduce((sum, row) => sum + row.seconds, 0);
  const curves = plots.get("learning_curves");
  const stopped = events?.find(({ kind }) => kind === "early_stopping");
  return {
    ...head,
    body: html`${
      facts([
        [
          "Epochs",
          `${history.length}${config ? ` of at most ${config.training.epochs}` : ""}, ` +
          `${duration(seconds)} in all`,
        ],
        ["Stopped", stopped ? `${stopped.note} (epoch ${stopped.epoch})` : null],
        ["Kept", card && `epoch ${card.training.bestEpoch}, the best by ${card.training.monitor}`],
        ["On validation then", best ? validation(best) : null],
        ["Recipe", config && recipe(config.training)],
      ])
    }${curves ? figure(curves) : nothing}`,
  };
}

function validation(best: NonNullable<ReportData["files"]["history"]>[number]): Content {
  return `loss ${decimal(best.val_loss)}, accuracy ${decimal(best.val_accuracy)}, AUC ` +
    decimal(best.val_auc);
}

function recipe(training: NonNullable<ReportData["files"]["config"]>["training"]): string {
  const { batchSize, learningRate, classWeights, sampling } = training;
  return `Adam, step size ${learningRate}, ${batchSize} images a step, class weights: ` +
    `${classWeights}, sampling: ${sampling}; every other setting is under Reproducibility`;
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} minutes` : `${(minutes / 60).toFixed(1)} hours`;
}

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

/** A test prediction as predictions_test.csv and split.csv have it. */
export type ReportedPrediction = Omit<Prediction, "uncalibrated">;

/** A small picture of a test or training image. */
export interface Example {
  path: string;
  /** `null`: the image cannot be read any more. */
  picture: Picture | null;
}

/** The test of the run's model: its scores and answers belong together. */
export interface ReportedTest extends Metrics {
  predictions: ReportedPrediction[];
}

/** What section 7 found in a folder of new images. */
export interface ReportedEvaluation {
  classified: number;
  unreadable: number;
  /** Left for a person to look at. */
  review: number;
  classes: { name: string; images: number }[];
  /** What was found out about the share of the classes, in words; `null`: nothing was. */
  shareText: string | null;
}

/** The files of a run by what they say. What is `null` is not there yet, or cannot be used. */
export interface RunFiles {
  config: Config | null;
  manifest: ManifestRow[] | null;
  findings: Finding[] | null;
  split: SplitRow[] | null;
  /** SHA-256 of split.csv. */
  splitSha256: string | null;
  certificate: SplitCertificate | null;
  history: HistoryRow[] | null;
  events: TrainingEvent[] | null;
  card: ModelCard | null;
  metrics: Metrics | null;
  predictions: Omit<ReportedPrediction, "group">[] | null;
  mapCheck: MapCheck | null;
  evaluation: (ReportedEvaluation & { weightsSha256: string | null }) | null;
}

/** Everything that a report shows; a pure description, without files. */
export interface ReportData {
  run: string;
  /** ISO date and time of the report. */
  made: string;
  /** Whether any image is of the synthetic sample set. */
  synthetic: boolean;
  /** Why the run stopped before its end; `null`: it did not. */
  stopped: string | null;
  /** Files that cannot be used, or do not belong to the model, and why. */
  problems: string[];
  files: Omit<RunFiles, "metrics" | "predictions" | "evaluation">;
  /** `null`: the model has not been tested. */
  test: ReportedTest | null;
  evaluation: ReportedEvaluation | null;
  /** Saved plots by name. */
  plots: ReadonlyMap<string, Picture>;
  /** A few images of each class. */
  examples: ReadonlyMap<string, Example[]>;
  /** The most confident mistakes. */
  mistakes: (Example & Pick<ReportedPrediction, "label" | "predicted" | "probability">)[];
}
