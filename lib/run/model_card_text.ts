import { scoreTitle } from "../core/words.ts";
import { describeProbe, type Metrics, type Score } from "./metrics_file.ts";
import { describeHead, describeMembers, type ModelCard } from "./model_card.ts";

/** A model's and a probe's scores on the test images, and how often these have been read (`null`: not counted). */
type ModelTest = Pick<Metrics, "probe"> & {
  scores: Readonly<Record<string, Score>>;
  reads: number | null;
};

/**
 * A model card in Markdown, under the headings of Mitchell and others (Model Cards for Model
 * Reporting, FAT* 2019). Names from the data are escaped: they are text, never markup.
 *
 * @param test `null`: the model has not been tested yet, and the card says so.
 */
export function modelCardMarkdown(card: ModelCard, test: ModelTest | null): string {
  const sections: [string, string[]][] = [
    ["Model details", modelDetails(card)],
    ["Intended use", intendedUse(card)],
    ["Factors", factors(card)],
    ["Metrics", metrics(card)],
    ["Evaluation data", evaluationData(card, test)],
    ["Training data", trainingData(card)],
    ["Quantitative analyses", analyses(test)],
    ["Ethical considerations", [ETHICS]],
    ["Caveats and recommendations", caveats(card)],
  ];
  return [
    `# Model card: run ${escape(card.run)}`,
    ...(card.data.synthetic ? [SYNTHETIC] : []),
    ...sections.flatMap(([title, paragraphs]) => [`## ${title}`, ...paragraphs]),
  ].join("\n\n") + "\n";
}

const SYNTHETIC =
  "> **Synthetic images.** This model learnt from and was tested on pictures that a program drew. " +
  "Nothing here says anything about tissue.";

const ETHICS =
  "Images of patients may be used only as their consent and the law allow. File names can name a " +
  "patient; they stand in the split and in every list of results. Whether the model works equally " +
  "well for all patients (age, sex, origin, disease) was not examined.";

const namesOf = (classes: readonly string[]) =>
  classes.map((name) => `“${escape(name)}”`).join(", ");

function modelDetails(card: ModelCard): string[] {
  const { architecture, frozen, startingWeights, training, preprocessing, decision } = card;
  const { calibration, threshold, rule } = decision;
  const { imageSize: size, backbone, classes } = architecture;
  const members = describeMembers(architecture);
  const versions = Object.entries(card.versions).map((pair) => pair.map(escape).join(" "));
  return [list({
    "Network": `${backbone} with ${describeHead(architecture)}, ${size} × ${size} pixels, ` +
      `${card.weights.parameters.toLocaleString("en-GB")} parameters`,
    ...members !== null && { "Members": members },
    "Classes": `${namesOf(classes)} (the last is the positive)`,
    "Started from": escape(startingWeights.note),
    "Trained layers": `the last ${frozen.unfreezeLast} of the backbone and the head; ` +
      `BatchNorm ${frozen.batchNorm}`,
    "Kept": `epoch ${training.bestEpoch}, by ${training.monitor}; seed ${training.seed}`,
    "Preprocessing": `${preprocessing.resize}, channels ${preprocessing.channels}, stain ` +
      `normalisation ${preprocessing.stain ? preprocessing.stain.method : "none"}`,
    "Calibration": calibration.method === "none"
      ? "none"
      : `${calibration.method} (slope ${calibration.slope.toPrecision(4)}, intercept ` +
        `${calibration.intercept.toPrecision(4)})`,
    "Threshold": classes.length > 2
      ? "none: the most probable class is predicted"
      : `${threshold} (rule: ${rule}), from which probability on an image is called ` +
        `“${escape(classes.at(-1)!)}”`,
    "Weights": `SHA-256 \`${card.weights.sha256}\``,
    "Made": card.created,
    "Versions": versions.join(", ") || "not recorded",
  })];
}

function intendedUse({ architecture: { classes } }: ModelCard): string[] {
  return [
    `Sorting cropped images of single glomeruli into ${namesOf(classes)}, in research and ` +
    "teaching, with a person looking at what the model is unsure of.",
    "Not for diagnosis, and not a medical device. Not for whole slides, for crops of several " +
    "glomeruli, or for anything that is no glomerulus: it knows no “none of these”.",
  ];
}

function factors({ data, preprocessing }: ModelCard): string[] {
  const pattern = data.groupPattern?.replaceAll("`", "'");
  const groups = pattern === undefined
    ? "Images were not grouped by patient or slide."
    : `Images were grouped by patient or slide with the pattern \`${pattern}\`.`;
  const colours = preprocessing.stain
    ? "brought to those of the training images"
    : "left as they are";
  return [
    "Stain, scanner, section thickness, centre, the way crops were cut, and who labelled them may " +
    `all change how well it works. ${groups} Colours are ${colours}.`,
  ];
}

function metrics({ decision }: ModelCard): string[] {
  const { validation } = decision;
  const counts = validation
    ? ` At the threshold, on validation images: ${validation.truePositives} positive ones found, ` +
      `${validation.falseNegatives} missed, ${validation.trueNegatives} others left alone, ` +
      `${validation.falsePositives} called positive.`
    : "";
  return [
    "Scores are those of the positive class, with 95 % intervals (bootstrap by patient or slide " +
    "where there are such; Wilson for shares of single images) and beside always predicting the " +
    `more frequent class. Calibration and threshold were chosen on validation images.${counts}`,
  ];
}

function evaluationData({ data }: ModelCard, test: ModelTest | null): string[] {
  const times = test?.reads === 1 ? "once" : `${test?.reads} times`;
  const reads = test?.reads ? ` They have been read ${times}.` : "";
  const { test: images, train } = data.images;
  const how = data.folds && images === train
    ? `${images} images, each predicted by the member that never saw its patient or slide, and ` +
      "decided as learnt on the other folds."
    : `${images} test images of the same source as the training images, set apart before training.`;
  const external = "There was no external validation: no images of another source were tested.";
  return [`${how}${reads} ${external}`];
}

function trainingData({ data, training: { scores } }: ModelCard): string[] {
  return [
    data.folds
      ? `${data.images.train} images in ${data.folds} folds. Each member learnt from all but two; one ` +
        "of these chose its epoch. Calibration and threshold were learnt from all, out of fold."
      : `${data.images.train} images to learn from, and ${data.images.validation} for choosing ` +
        "epoch, calibration and threshold.",
    list({
      "Manifest": `SHA-256 \`${data.manifestSha256}\``,
      "Split": `SHA-256 \`${data.splitSha256}\``,
      "On validation": `loss ${scores.val_loss.toFixed(4)}, accuracy ` +
        `${scores.val_accuracy.toFixed(4)}, AUC ${scores.val_auc?.toFixed(4) ?? "undefined"}`,
    }),
  ];
}

function analyses(test: ModelTest | null): string[] {
  if (test === null) return ["Not tested yet: notebook 06 does."];
  const number = (value: number | null) => value === null ? "–" : value.toFixed(4);
  const rows = Object.entries(test.scores).map(([name, score]) => {
    const interval = score.low === null ? "–" : `${number(score.low)} to ${number(score.high)}`;
    const scores = `${number(score.value)} | ${interval} | ${number(score.baseline)}`;
    return `| ${escape(scoreTitle(name))} | ${scores} | ${score.n} | ${escape(score.method)} |`;
  });
  const table = [
    "| score | value | 95 % interval | baseline | n | method |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
  return test.probe ? [table, escape(describeProbe(test.probe).text)] : [table];
}

function caveats({ architecture: { classes }, decision }: ModelCard): string[] {
  const { low, high, errorRate } = decision.acceptBand ?? {};
  const band = decision.acceptBand
    ? `Accept only predictions of a probability at most ${low!.toPrecision(3)} or at least ` +
      `${high!.toPrecision(3)}, which were chosen for ${
        (100 * errorRate!).toFixed(0)
      } % errors on ` +
      "validation images."
    : "Let a person look at every prediction: no range of probabilities was found on validation " +
      "images that may be accepted without.";
  return [
    `On images with another share of “${escape(classes.at(-1)!)}”, or from another scanner or ` +
    "laboratory, expect other scores: test it on labelled images of your own first.",
    band,
  ];
}

function list(entries: Record<string, string>): string {
  return Object.entries(entries).map(([name, value]) => `- ${name}: ${value}`).join("\n");
}

/** Text from outside on one line and without any meaning in Markdown or HTML. */
function escape(text: string): string {
  return text.toWellFormed().replace(/\p{Cc}/gu, " ")
    .replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]!)
    .replace(/[\\`*_{}[\]()#+!|~$]/g, "\\$&");
}
