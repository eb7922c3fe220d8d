import { z } from "zod";
import { BACKBONES, headSchema, isGroupPattern, RESIZES } from "../core/settings.ts";
import { scoreTitle } from "../core/words.ts";

/**
 * Stains whose vectors span less than this (the sine of their angle) cannot be told apart: it may be
 * the noise of one colour. Those of glomeruli in PAS span 0.25 and more.
 */
export const LEAST_SPAN = 0.15;

const vector = z.tuple([z.number(), z.number(), z.number()]);

const count = z.int().min(0);

const hash = z.string().regex(/^[0-9a-f]{64}$/);

/** Probabilities within 1.3e-14 of 0 or 1 count as that far from them. */
export const LARGEST_LOG_ODDS = 32;

const lab = z.number().min(-5).max(5);

/** No image of 8 bits has a deviation in lαβ, or an amount of a separable stain, beyond these. */
const deviation = z.number().positive().max(5);

const stain = vector.refine((v) => Math.abs(Math.hypot(...v) - 1) < 1e-6, {
  error: "must be of length 1",
});

const amount = z.number().positive().max(1000);

/**
 * See {@linkcode StainReference}. What would make plain white or black of every image is refused:
 * numbers that are not finite or out of range, stains that are none or twice the same.
 */
export const stainReferenceSchema = z.discriminatedUnion("method", [
  z.object({
    method: z.literal("reinhard"),
    mean: z.tuple([lab, lab, lab]),
    deviation: z.tuple([deviation, deviation, deviation]),
  }),
  z.object({
    method: z.literal("macenko"),
    stains: z.tuple([stain, stain]).refine(canBeToldApart, { error: "must be two stains" }),
    amounts: z.tuple([amount, amount]),
  }),
]);

/** Format of the model folder; a reader refuses any other. */
export const MODEL_FORMAT = 4;

/**
 * Largest difference of a probability between this project and Python Keras with the same weights
 * and pixels. The tests hold every model to it, and `deno task parity` any one.
 */
export const PARITY_TOLERANCE = 1e-4;

const score = z.number().min(-LARGEST_LOG_ODDS).max(LARGEST_LOG_ODDS);

/** Most scores of a class that a card holds. */
export const MOST_SCORES = 256;

const scores = z.array(score).min(1).max(MOST_SCORES);

const validationScoresSchema = z.object({ positives: scores, negatives: scores });

/** See {@linkcode Decision}. */
export const decisionSchema = z.object({
  calibration: z.object({
    method: z.enum(["none", "temperature", "platt"]),
    slope: z.number().positive(),
    intercept: z.number(),
  }),
  threshold: z.number().min(0).max(1),
  rule: z.enum(["default", "youden", "sensitivity", "costs"]),
  testTimeAugmentation: z.boolean(),
  acceptBand: z.object({
    low: z.number().min(0).max(1),
    high: z.number().min(0).max(1),
    errorRate: z.number().min(0).max(1),
  }).nullable(),
  validation: z.object({
    truePositives: count,
    falsePositives: count,
    trueNegatives: count,
    falseNegatives: count,
    // missing where notebook 06 was run by a version that did not store them
    scores: validationScoresSchema.nullable().default(null),
  }).nullable(),
});

/** See {@linkcode ModelCard}. */
export const modelCardSchema = z.object({
  format: z.literal(MODEL_FORMAT),
  run: z.string(),
  created: z.string(),
  architecture: z.object({
    backbone: z.enum(BACKBONES),
    imageSize: z.int().min(32).max(1024),
    classes: z.array(z.string().regex(/^[^/\\]+$/)).min(2),
    /** Missing where a version saved the model that knew the default head only. */
    head: headSchema.optional(),
  }),
  preprocessing: z.object({
    channels: z.enum(["RGB", "BGR"]),
    mean: z.tuple([z.number(), z.number(), z.number()]),
    scale: z.number().positive(),
    resize: z.enum(RESIZES),
    stain: stainReferenceSchema.nullable(),
    maxMegapixels: z.number().positive(),
  }),
  decision: decisionSchema,
  weights: z.object({ sha256: hash, parameters: z.int().positive() }),
  startingWeights: z.object({
    kind: z.enum(["imagenet", "random", "file", "model"]),
    note: z.string(),
    sha256: hash.nullable(),
  }),
  frozen: z.object({
    frozenLayers: z.int().min(0),
    unfreezeLast: z.int().min(0),
    batchNorm: z.enum(["frozen", "trained"]),
  }),
  data: z.object({
    synthetic: z.boolean(),
    manifestSha256: hash,
    splitSha256: hash,
    images: z.object({ train: z.int(), validation: z.int(), test: z.int() }),
    groupPattern: z.string().nullable().refine(isGroupPattern),
  }),
  training: z.object({
    bestEpoch: z.int().min(1),
    monitor: z.string(),
    seed: z.int(),
    scores: z.object({
      val_loss: z.number(),
      val_accuracy: z.number(),
      val_auc: z.number().nullable(),
    }),
  }),
  parity: z.object({ tolerance: z.number().positive() }),
  versions: z.record(z.string(), z.string()),
});

/**
 * What must travel with a model for its predictions to mean anything: classes, preprocessing,
 * how its probabilities become answers, what it was made from, and how it scored on validation. Part of model.json;
 * model_card.json is a copy for people.
 */
export type ModelCard = z.infer<typeof modelCardSchema>;

/**
 * Log odds of the calibrated probabilities of validation images, rising: of the positive class and
 * of the others. Of more than 256 of a class they are as many quantiles.
 */
export type ValidationScores = z.infer<typeof validationScoresSchema>;

/**
 * How a model's probabilities become answers; everything in it was chosen on validation images.
 *
 * - `calibration`: see {@linkcode calibrate}.
 * - `threshold`: from this calibrated probability on, the answer of two classes is the positive one.
 * - `rule`: how the threshold was chosen.
 * - `testTimeAugmentation`: probabilities are means over the eight symmetries of the square.
 * - `acceptBand`: a calibrated probability of the positive class at most `low` or at least `high` is
 *   accepted, one between them is for a person to review; `errorRate` is the share of errors among
 *   accepted images that the band was chosen for. `null`: no band keeps that rate.
 * - `validation`: the confusion matrix on validation at the threshold, and the scores behind it
 *   (`null` without images of both classes); `null`: nothing was fitted yet.
 */
export type Decision = z.infer<typeof decisionSchema>;

/** The decision of a model as training leaves it: probabilities as they are, threshold 0.5. */
export const DEFAULT_DECISION: Decision = {
  calibration: { method: "none", slope: 1, intercept: 0 },
  threshold: 0.5,
  rule: "default",
  testTimeAugmentation: false,
  acceptBand: null,
  validation: null,
};

/** Float32 softmax outputs can be 0, whose logarithm is not finite. */
const LEAST = 1e-12;

/** Logarithm of a probability as {@linkcode calibrate} takes it, never below that of 1e-12. */
export function logProbability(p: number): number {
  return Math.log(Math.max(p, LEAST));
}

/**
 * Calibrated class probabilities: the softmax of `slope · log p`, with `intercept` added to the
 * positive (last) class. Intercept 0 is temperature scaling with temperature 1 / slope (Guo et al.,
 * ICML 2017); of two classes, with an intercept, it is Platt scaling (1999) of the log odds.
 *
 * @param probabilities One a class, 0 to 1.
 * @returns As many, which sum to 1. The order of images by them is kept, since the slope is positive.
 */
export function calibrate(
  probabilities: readonly number[],
  { method, slope, intercept }: Decision["calibration"],
): number[] {
  if (method === "none") return [...probabilities];
  const last = probabilities.length - 1;
  const logits = probabilities.map((p, i) =>
    slope * logProbability(p) + (i === last ? intercept : 0)
  );
  const largest = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** ln(p / (1 − p)), kept within ±{@linkcode LARGEST_LOG_ODDS}. */
export function logOdds(probability: number): number {
  const odds = Math.log(probability / (1 - probability)); // ±Infinity at 1 and 0
  return Math.min(LARGEST_LOG_ODDS, Math.max(-LARGEST_LOG_ODDS, odds));
}

/** The probability of these log odds: greater than 0, less than 1 within ±{@linkcode LARGEST_LOG_ODDS}. */
export function probabilityOf(logOdds: number): number {
  return 1 / (1 + Math.exp(-logOdds));
}

/**
 * The class that a model's answer stands for: of two classes the positive one from the threshold on,
 * of more the most probable one.
 *
 * @param probabilities One a class; the last class is the positive one.
 * @param threshold 0 to 1.
 * @returns Index of the class.
 */
export function decide(probabilities: readonly number[], threshold: number): number {
  if (probabilities.length === 2) return probabilities[1]! >= threshold ? 1 : 0;
  return probabilities.indexOf(Math.max(...probabilities));
}

/** A test score as metrics.json has it. */
interface TestedScore {
  value: number | null;
  low: number | null;
  high: number | null;
  baseline: number | null;
  n: number;
  method: string;
}

/** The test of a model, for its card. */
export interface ModelTest {
  scores: Readonly<Record<string, TestedScore>>;
  /** How often the test images have been read; `null`: not counted. */
  reads: number | null;
}

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
    ["Ethical considerations", ethics()],
    ["Caveats and recommendations", caveats(card)],
  ];
  const warning = card.data.synthetic
    ? [
      "> **Synthetic images.** This model learnt from and was tested on pictures that a program " +
      "drew. Nothing here says anything about tissue.",
    ]
    : [];
  return [
    `# Model card: run ${escape(card.run)}`,
    ...warning,
    ...sections.flatMap(([title, paragraphs]) => [`## ${title}`, ...paragraphs]),
  ].join("\n\n") + "\n";
}

function modelDetails(card: ModelCard): string[] {
  const { architecture, frozen, startingWeights, training, preprocessing, decision } = card;
  const { calibration, threshold, rule } = decision;
  const { imageSize: size, backbone, classes } = architecture;
  const threshed = classes.length > 2
    ? "none: the most probable class is the answer"
    : `${threshold} (rule: ${rule}), from which probability on an image is called ` +
      `“${escape(classes.at(-1)!)}”`;
  return [list({
    "Network": `${backbone} with a head of two dense layers, ${size} × ${size} pixels, ` +
      `${card.weights.parameters.toLocaleString("en-GB")} parameters`,
    "Classes": `${
      classes.map((name) => `“${escape(name)}”`).join(", ")
    } (the last is the positive)`,
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
    "Threshold": threshed,
    "Weights": `SHA-256 \`${card.weights.sha256}\``,
    "Made": card.created,
    "Versions": Object.entries(card.versions).map(([name, version]) =>
      `${escape(name)} ${escape(version)}`
    ).join(", ") || "not recorded",
  })];
}

function intendedUse({ architecture: { classes } }: ModelCard): string[] {
  return [
    `Sorting cropped images of single glomeruli into ${
      classes.map((name) => `“${escape(name)}”`).join(", ")
    }, in research and teaching, with a person looking at what the model is unsure of.`,
    "Not for diagnosis, and not a medical device. Not for whole slides, for crops of several " +
    "glomeruli, or for anything that is no glomerulus: it has no answer for “none of these”.",
  ];
}

function factors({ data, preprocessing }: ModelCard): string[] {
  const groups = data.groupPattern === null
    ? "Images were not grouped by patient or slide."
    : `Images were grouped by patient or slide with the pattern \`${
      data.groupPattern.replaceAll("`", "'")
    }\`.`;
  return [
    "Stain, scanner, section thickness, centre, the way crops were cut, and who labelled them may " +
    `all change how well it works. ${groups} ` +
    (preprocessing.stain
      ? "Colours are brought to those of the training images."
      : "Colours are taken as they are."),
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
    "where there are such; Wilson for shares of single images) and beside always giving the more " +
    `frequent answer. Calibration and threshold were chosen on validation images.${counts}`,
  ];
}

function evaluationData({ data }: ModelCard, test: ModelTest | null): string[] {
  const reads = test?.reads
    ? ` They have been read ${test.reads === 1 ? "once" : `${test.reads} times`}.`
    : "";
  return [
    `${data.images.test} test images of the same source as the training images, set apart before ` +
    `training.${reads} There was no external validation: no images of another source were tested.`,
  ];
}

function trainingData({ data, training: { scores } }: ModelCard): string[] {
  return [
    `${data.images.train} images to learn from, and ${data.images.validation} for choosing epoch, ` +
    "calibration and threshold.",
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
    return `| ${escape(scoreTitle(name))} | ${number(score.value)} | ${interval} | ${
      number(score.baseline)
    } | ${score.n} | ${escape(score.method)} |`;
  });
  return [[
    "| score | value | 95 % interval | baseline | n | method |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n")];
}

function ethics(): string[] {
  return [
    "Images of patients may be used only as their consent and the law allow. File names can name a " +
    "patient; they stand in the split and in every list of results. Whether the model works " +
    "equally well for all patients (age, sex, origin, disease) was not examined.",
  ];
}

function caveats({ architecture: { classes }, decision }: ModelCard): string[] {
  const band = decision.acceptBand
    ? `Accept answers of a probability at most ${decision.acceptBand.low.toPrecision(3)} or at ` +
      `least ${decision.acceptBand.high.toPrecision(3)} alone, which were chosen for ` +
      `${(100 * decision.acceptBand.errorRate).toFixed(0)} % errors on validation images.`
    : "Let a person look at every answer: no range of probabilities was found on validation " +
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

/** The colours that every image is brought to; they travel with the model. */
export type StainReference = z.infer<typeof stainReferenceSchema>;

/** Two directions of length 1: the sine of the angle between them. */
function canBeToldApart([a, b]: readonly [readonly number[], readonly number[]]): boolean {
  const cosine = a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  return Math.sqrt(Math.max(0, 1 - cosine ** 2)) > LEAST_SPAN;
}
