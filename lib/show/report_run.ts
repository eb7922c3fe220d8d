import { sum } from "d3-array";
import { basename } from "node:path";
import { describeConfig } from "../core/config.ts";
import type { Config } from "../core/settings.ts";
import { median } from "../core/stats.ts";
import { images, percent } from "../core/words.ts";
import { classCounts } from "../data/scan.ts";
import { auditCounts, type AuditPolicies, type Finding } from "../run/findings.ts";
import { keptRows, meanRow } from "../run/history.ts";
import { type ManifestRow, usable } from "../run/manifest.ts";
import { describeHead, describeMembers, type ModelCard } from "../run/model_card.ts";
import { isFold } from "../run/split_file.ts";
import { classLabel, quoted, thresholdText } from "./card.ts";
import type { ReportData } from "./report_files.ts";
import {
  code,
  type Content,
  decimal,
  facts,
  figure,
  html,
  note,
  numeric,
  paragraph,
  points,
  type Section,
  section,
  table,
  tiles,
} from "./report_page.ts";

/** Where the images come from, how many there are and what is odd about them. */
export function dataSection({ files, synthetic, examples }: ReportData): Section {
  const { manifest, config, findings } = files;
  return section(
    "data",
    "Data source and participants",
    synthetic
      ? "The images were drawn by a program; they show no tissue of any person or animal."
      : "The images were given as files. Who the patients were, when and where the images were " +
        "made, with what stain and scanner, and how they were chosen is not in the files: whoever " +
        "sends this report should add it.",
    manifest && config && describeImages(manifest, config.data),
    manifest && config && findings && describeAudit(findings, config.data.audit),
    [...examples].map(([label, own]) => [
      html`<h3>${classLabel(label)}</h3>`,
      tiles(own.map(({ path, picture }) => ({ picture, caption: basename(path) }))),
    ]),
  );
}

function describeImages(rows: readonly ManifestRow[], data: Config["data"]): Content {
  const used = usable(rows);
  const formats = [...Map.groupBy(used, ({ format }) => format)]
    .map(([format, own]) => `${own.length} ${format.toUpperCase()}`).join(", ");
  const size = (side: "width" | "height") => Math.round(median(used.map((row) => row[side])));
  return [
    data.groupPattern === null
      ? html`<p>No patient or slide was named (${
        code("data.groupPattern")
      }): every image counts as one of its own.</p>`
      : html`<p>The patient or slide of an image is told by its name, with the pattern ${
        code(data.groupPattern)
      }.</p>`,
    table(
      "Images by class",
      ["class", ...["images used", "share", "patients or slides", "left out"].map(numeric)],
      classCounts(rows, data.classes).map(({ label, images, share, groups, left_out }) => [
        ...[classLabel(label), images, percent(share), groups, left_out],
      ]),
    ),
    used.length === 0
      ? null
      : html`<p>Formats: ${formats}. Median size ${size("width")} × ${size("height")} pixels.</p>`,
  ];
}

function describeAudit(findings: readonly Finding[], policies: AuditPolicies): Content {
  const counts = auditCounts(findings, policies);
  if (counts.length === 0) return paragraph("Every image was looked at; nothing odd was found.");
  return [
    table(
      `What the audit found (${findings.length} in all, each in audit.csv)`,
      ["finding", "what it means", "policy", numeric("count")],
      counts.map(({ finding, meaning, policy, count }) => [
        ...[finding.replaceAll("_", " "), meaning, policy, count],
      ]),
    ),
    paragraph("drop: left out; warn: used, and shown to whoever ran this; keep: used."),
  ];
}

/** What the predictions are measured by. */
export function labelsSection({ files: { manifest, config }, synthetic }: ReportData): Section {
  const corrected = manifest?.filter(({ path, label }) => {
    const folder = path.split("/", 1)[0]!;
    return config?.data.classes.includes(folder) && folder !== label;
  }).length;
  return section(
    "labels",
    "Labels",
    synthetic
      ? "A crop's label is the kind of glomerulus that the program was told to draw."
      : "Labels are the names of the class folders, or what labels.csv says. They were taken as " +
        "true. Who gave them, by what criteria, how often two people agreed, and whether they had " +
        "seen the model's predictions is not in the files.",
    corrected ? `labels.csv overrules the class folder of ${images(corrected)}.` : null,
  );
}

/** How the images were divided, and the proof that nothing crosses. */
export function partitionSection({ files: { certificate, config } }: ReportData): Section {
  const head = ["partition", "Partition"] as const;
  if (!certificate) return section(...head, "The images have not been split yet.");
  const { source, seed, counts, groups, fractions_achieved: achieved } = certificate;
  const others = Object.values(counts).flatMap((own) => Object.keys(own));
  const labels = [...new Set([...config?.data.classes ?? [], ...others])];
  const columns = [...labels.map(classLabel), "images", "share", "patients or slides"];
  return section(
    ...head,
    source === "given"
      ? "The split was given by the person who ran this."
      : `The split was drawn with seed ${seed}: whole patients or slides are dealt out so that ` +
        "sizes and prevalences come as near to the request as they allow.",
    Object.keys(counts).some(isFold)
      ? "Each fold is tested by a model that learnt from all others but the next one, which chose " +
        "its epoch."
      : null,
    table(
      "Images by subset",
      ["subset", ...columns.map(numeric)],
      Object.entries(counts).map(([subset, own]) => [
        subset.replaceAll("_", " "),
        ...labels.map((label) => own[label] ?? 0),
        sum(Object.values(own)),
        percent(achieved[subset] ?? NaN),
        groups[subset] ?? NaN,
      ]),
    ),
    "Certified: no patient or slide, no file with the same bytes and none of the " +
      `${certificate.near_duplicate_pairs} pairs of images that show the same crosses from one ` +
      "subset to another.",
    certificate.note === null ? null : note("warning", certificate.note),
    facts({ Split: code(certificate.split_sha256), Manifest: code(certificate.manifest_sha256) }),
    paragraph(code("deno task verify RUN"), " checks this again, from the images themselves."),
  );
}

/** The network, what it starts from and how a class is predicted from its probabilities. */
export function modelSection({ files: { card } }: ReportData): Section {
  if (!card) return section("model", "Model", "There is no trained model yet.");
  const { architecture, preprocessing, frozen, startingWeights, weights } = card;
  const { backbone, imageSize, classes } = architecture;
  return section(
    "model",
    "Model",
    facts({
      Network: `${backbone} with ${describeHead(architecture)}, ` +
        `${weights.parameters.toLocaleString("en-GB")} parameters`,
      Members: describeMembers(architecture),
      Input: `${imageSize} × ${imageSize} pixels, made square by ` +
        `“${preprocessing.resize.replaceAll("_", " ")}”; stain normalisation: ` +
        (preprocessing.stain?.method ?? "none"),
      Output:
        `a probability of each class: ${classes.map(quoted).join(", ")}; the last one is the ` +
        "positive class",
      "Started from": startingWeights.note,
      Trained: `the last ${frozen.unfreezeLast} layers of the backbone and those on top; ` +
        `BatchNorm ${frozen.batchNorm}`,
      ...decisionFacts(card),
      Weights: code(weights.sha256),
    }),
    paragraph(
      ...["The model card, ", code(`model/${card.run}/model_card.md`)],
      ", says the same for whoever receives the model.",
    ),
  );
}

function decisionFacts({ architecture, decision }: ModelCard) {
  const { calibration, threshold, rule, acceptBand: band } = decision;
  return {
    Calibration: calibration.method === "none"
      ? "none: probabilities are as the network gives them"
      : `${calibration.method}, fitted on validation images (slope ` +
        `${calibration.slope.toPrecision(3)}, intercept ${calibration.intercept.toPrecision(3)})`,
    Threshold: architecture.classes.length > 2
      ? "none: the most probable class is predicted"
      : `positive from a probability of ${thresholdText(threshold)} on (rule: ` +
        `${rule}${rule === "default" ? "" : ", on validation images"})`,
    "Accepted without review": !band
      ? "nothing: no range of probabilities was right often enough on validation"
      : `probabilities at most ${thresholdText(band.low)} or at least ` +
        `${thresholdText(band.high)}, chosen on validation images for ` +
        `${(100 * band.errorRate).toFixed(1)} % errors`,
  };
}

/** How it was trained. */
export function trainingSection(
  { files: { card, config, history, events }, plots }: ReportData,
): Section {
  if (!history?.length) return section("training", "Training", "There was no training yet.");
  const kept = keptRows(history, events ?? []);
  const best = kept.length > 0 ? meanRow(kept) : undefined;
  const folds = kept.length > 1 ? ` in ${kept.length} folds` : "";
  const curves = plots.get("learning_curves");
  const stopped = events?.find(({ kind }) => kind === "early_stopping");
  const { batchSize, learningRate, backboneRate, classWeights, sampling, epochs } =
    config?.training ?? {};
  return section(
    "training",
    "Training",
    facts({
      Epochs: `${history.length}${config && !folds ? ` of at most ${epochs}` : folds}, ` +
        `${duration(sum(history, (row) => row.seconds))} in all`,
      Stopped: stopped && !folds ? `${stopped.note} (epoch ${stopped.epoch})` : null,
      Kept: card && `epoch ${kept.map(({ epoch }) => epoch).join(", ")}, the best by ` +
          card.training.monitor,
      "On validation then": best
        ? `loss ${decimal(best.val_loss)}, accuracy ${decimal(best.val_accuracy)}, AUC ` +
          decimal(best.val_auc)
        : null,
      Recipe: config && `Adam, step size ${learningRate} (backbone: times ${backboneRate}), ` +
          `${batchSize} images a step, class weights: ${classWeights}, sampling: ${sampling}; ` +
          "every other setting is under Reproducibility",
    }),
    curves ? figure(curves) : null,
  );
}

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} minutes` : `${(minutes / 60).toFixed(1)} hours`;
}

/** Everything that is needed to do it again. */
export function reproducibilitySection({ run, files: { config, card } }: ReportData): Section {
  const listed = (...names: string[]) =>
    names.flatMap((name, i) => [
      i === 0 ? "" : i === names.length - 1 ? " and " : ", ",
      code(`results/${run}/${name}`),
    ]);
  const versions = Object.entries(card?.versions ?? {}).map((entry) => entry.join(" "));
  return section(
    "reproducibility",
    "Reproducibility",
    "The same images, settings and versions give the same split byte for byte, and the same model " +
      "up to the rounding of the processor.",
    card && facts({
      "Model made": card.created,
      Seed: card.training.seed,
      Versions: versions.join(", ") || "not recorded",
      Split: code(card.data.splitSha256),
      Manifest: code(card.data.manifestSha256),
      Weights: code(card.weights.sha256),
    }),
    "The files beside this page hold everything that is shown here:",
    points([
      [listed("notebooks/"), ": the notebooks as they were executed, with every cell's output"],
      listed(
        ...["config.json", "split.csv", "split_certificate.json", "manifest.parquet", "audit.csv"],
      ),
      listed("metrics.json", "predictions_test.csv", "review.csv"),
      [code(`model/${run}/`), ": the model, also as a file for Python Keras, and its card"],
    ]),
    config && html`<h3>Settings; in bold those that are not at their defaults</h3>`,
    config &&
      html`<div class="settings">${
        describeConfig(config).map(({ field, value, default: usual }) => {
          const line = html`${code(field)} ${JSON.stringify(value)}`;
          const isUsual = JSON.stringify(value) === JSON.stringify(usual);
          return html`<div>${isUsual ? line : html`<b>${line}</b>`}</div>`;
        })
      }</div>`,
    html`<p><small>${
      "File names stand on this page. Where they name a patient, think before sending it. The " +
      "headings follow TRIPOD+AI (Collins and others, BMJ 2024) and CLAIM (Mongan, Moy and Kahn, " +
      "Radiology: Artificial Intelligence 2020) where they apply."
    }</small></p>`,
  );
}
