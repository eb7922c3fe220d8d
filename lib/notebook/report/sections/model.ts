import { classLabel, thresholdText } from "../../theme.ts";
import { type Content, html, nothing } from "../html.ts";
import { decimal, facts, figure, paragraph, type Section } from "../parts.ts";
import type { ReportData } from "../report_data.ts";
import type { ModelCard } from "../../../model/model_card.ts";

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
