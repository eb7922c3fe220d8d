import { z } from "zod";
import { SCORE_NAMES } from "./words.ts";

const positive = (meaning: string, fallback: number) =>
  z.number().positive().default(fallback).describe(meaning);

const count = (meaning: string, fallback: number, least = 1) =>
  z.int().min(least).default(fallback).describe(meaning);

const fraction = z.number().gt(0).lt(1);

const monitors = ["val_loss", "val_accuracy", "val_auc"] as const;

const watched = z.enum(monitors).default("val_loss");

const policies = ["drop", "warn", "keep"] as const;

const policy = (meaning: string, fallback: Policy) =>
  z.enum(policies).default(fallback).describe(meaning);

/**
 * What the audit does about a kind of finding: `drop` leaves the image out, `warn` uses it and says
 * so in notebook 02, `keep` uses it and only records the finding in audit.csv.
 */
export type Policy = (typeof policies)[number];

/** The architectures that `model.backbone` can name. */
export const BACKBONES = ["resnet50", "efficientnet_lite0"] as const;

/** The attention blocks that `model.attention` can name. */
export const ATTENTIONS = ["none", "se", "cbam"] as const;

/** A quantity of the history that a callback can watch. */
export type Monitor = (typeof monitors)[number];

/** The ways in which an image becomes a square. */
export const RESIZES = ["squash", "letterbox", "centre_crop"] as const;

const STAIN_NORMALISATIONS = ["none", "reinhard", "macenko"] as const;

const dataSchema = z.strictObject({
  folder: z.string().min(1).default("data")
    .describe("Folder that holds one folder per class; relative to the project"),
  followLinks: z.boolean().default(false)
    .describe("Takes the images that symbolic links in the class folders lead to as well"),
  classes: z.array(
    z.string().regex(/^(?!\.{1,2}$)[^/\\]+$/, "must be a folder name, without slashes"),
  ).min(2).refine((names) => new Set(names).size === names.length, {
    error: "must be different folders",
  })
    .default(["non_globally_sclerotic_glomeruli", "globally_sclerotic_glomeruli"])
    .describe("Class folder names; the last one is the positive class"),
  groupPattern: z.string().nullable().default(null).refine(isGroupPattern, {
    error: "must be a regular expression with one capturing group",
  }).describe(
    "Regular expression on an image's path; its first capturing group is the patient or slide " +
      "that must not cross subsets. null: every image is its own group",
  ),
  maxMegapixels: positive("Larger images are refused, in millions of pixels", 100),
  audit: z.strictObject({
    duplicate: policy("The same bytes twice under one label; drop keeps the first", "drop"),
    conflictingLabels: policy("The same bytes under several labels; drop leaves out all", "drop"),
    nearDuplicate: policy("Shows the same as another; drop keeps the first of each label", "warn"),
    conflictingNearDuplicate: policy("Shows the same as another of a different label", "warn"),
    wrongExtension: policy("The content is of another format than the name says", "keep"),
    unusualMode: policy("Grey, 16-bit, CMYK, or transparency that hides tissue", "warn"),
    sizeOutlier: policy("Far smaller or larger than the other images", "warn"),
    aspectOutlier: policy("Far longer or taller than the other images", "warn"),
    blurred: policy("Far less sharp than the other images", "warn"),
    tooDark: policy("Nearly black", "warn"),
    tooBright: policy("Nearly white", "warn"),
    nearlyUniform: policy("Hardly any structure", "warn"),
    emptyMargin: policy("A broad border without tissue", "warn"),
  }).prefault({}).describe("drop, warn or keep"),
});

/** `split.test` of a single split where it is left out. */
export const TEST_FRACTION = 0.15;

const splitSchema = z.strictObject({
  folds: z.int().min(0).default(0)
    .refine((folds) => folds === 0 || folds >= 3, { error: "must be 0, or 3 or more" }).describe(
      "0: one split, by the fractions below. 3 or more (5 is usual): so many folds, each tested by " +
        "a model that was trained on the others, so that every image is tested once",
    ),
  repeats: count(
    "How often the folds are dealt anew; each time as many models more are trained",
    1,
  ),
  train: fraction.default(0.7).describe("Fraction of the images to learn from; not with folds"),
  validation: fraction.default(0.15)
    .describe("Fraction that decides when to stop and which epoch to keep; not with folds"),
  test: z.number().min(0).lt(1).nullable().default(null).describe(
    "Fraction that is looked at once, in section 6. null: 0.15, and with folds 0; more is held out " +
      "then, and the folds are made of the rest",
  ),
  file: z.string().min(1).nullable().default(null).describe(
    "A split of your own: a CSV of path,subset, relative to the project. null: one is made",
  ),
})
  .refine(
    (s) => s.folds > 0 || Math.abs(s.train + s.validation + (s.test ?? TEST_FRACTION) - 1) < 1e-9,
    {
      error: "train + validation + test must be 1",
    },
  )
  .refine((s) => s.folds > 0 || s.test !== 0, {
    error: "must be above 0: without folds there is nothing else to test on",
    path: ["test"],
  });

/** `model.head` of the reference recipe. */
export const DEFAULT_HEAD = { units: [512, 256], dropout: [0.4, 0.3] };

/** The hidden layers of the classification head: of the config, and of a saved model. */
export const headSchema = z.strictObject({
  units: z.array(z.int().min(1).max(4096)).max(4).default(DEFAULT_HEAD.units).describe(
    "Units of each dense layer between the pooled features and the classes; []: none",
  ),
  dropout: z.array(z.number().min(0).lt(1)).default(DEFAULT_HEAD.dropout)
    .describe("Dropout behind each of these layers, as a fraction"),
}).refine(({ units, dropout }) => units.length === dropout.length, {
  error: "must have as many entries as units",
  path: ["dropout"],
});

const modelSchema = z.strictObject({
  backbone: z.enum(BACKBONES).default("resnet50").describe(
    "Architecture below the head: resnet50, or efficientnet_lite0, which needs about a tenth of " +
      "the arithmetic and whose ImageNet weights are installed with the project",
  ),
  weights: z.string().min(1).default("imagenet").describe(
    'Starting weights of the backbone: "imagenet", "random", or a path, relative to the project, ' +
      "of a Keras file (.h5, .weights.h5, .keras) or of a model folder to train further",
  ),
  unfreezeLast: count("Backbone layers that are trained, counted from the end", 30, 0),
  attention: z.enum(ATTENTIONS).default("none").describe(
    "What weighs the backbone's feature map before it is averaged: none, se (squeeze-and-" +
      "excitation: its channels) or cbam (convolutional block attention: channels, then places)",
  ),
  head: headSchema.prefault({}).describe("The layers on top of the backbone"),
  imageSize: z.int().min(32).max(1024).default(224)
    .describe("Width and height of the model's input, in pixels"),
  resize: z.enum(RESIZES).default("squash").describe(
    "How an image becomes a square: squash (sides keep no ratio), letterbox (white bars) or " +
      "centre_crop",
  ),
  stainNormalisation: z.enum(STAIN_NORMALISATIONS).default("none").describe(
    "Brings the colours of every image to those of the training images: none, reinhard or macenko",
  ),
});

const amount = (meaning: string, most: number) =>
  z.number().min(0).max(most).default(0).describe(`${meaning}; 0: off`);

const augmentationSchema = z.strictObject({
  symmetries: z.boolean().default(false)
    .describe("One of the eight symmetries of the square: flips and quarter turns"),
  rotation: amount("Largest rotation, in degrees", 45),
  scale: amount("Largest change of size, as a fraction", 0.5),
  shift: amount("Largest shift, as a fraction of the side", 0.25),
  brightness: amount("Largest change of brightness, as a fraction of the range", 0.5),
  contrast: amount("Largest change of contrast, as a fraction", 0.5),
  stain: amount("Largest change of each stain's amount, as a fraction", 0.5),
  stains: z.enum(["hematoxylin_eosin", "pas_hematoxylin"]).default("pas_hematoxylin")
    .describe("The stains that stain variation separates"),
  blur: amount("Largest Gaussian blur, standard deviation in pixels", 3),
  jpegQuality: z.int().min(10).max(100).default(100)
    .describe("Lowest JPEG quality that images are recompressed with; 100: off"),
  cutOut: amount("Largest side of a square that is blanked, as a fraction of the side", 0.5),
});

/** What the names that `training.augmentation` may also be stand for. */
const AUGMENTATIONS = { none: {}, safe: { symmetries: true, stain: 0.2 } } as const;

const augmentationOrName = z.preprocess(
  (given: keyof typeof AUGMENTATIONS | z.input<typeof augmentationSchema>) =>
    given === "none" || given === "safe" ? AUGMENTATIONS[given] : given,
  augmentationSchema,
);

const trainingSchema = z.strictObject({
  epochs: count("Passes over the training images, at most", 25),
  batchSize: count("Images per step", 32),
  learningRate: positive("Adam's step size at the start", 1e-4),
  backboneRate: z.number().gt(0).max(1).default(1).describe(
    "Step size of the unfrozen backbone layers, which know much already, as a fraction of the " +
      "head's, which knows nothing; 1: the same. Of few images, for another source: 0.03, with " +
      "learningRate 1e-3",
  ),
  batchNorm: z.enum(["frozen", "trained"]).default("frozen").describe(
    "BatchNorm inside the unfrozen backbone layers: frozen keeps its moving statistics, trained " +
      "uses and updates batch statistics",
  ),
  warmupEpochs: count(
    "Epochs at the start in which the head alone is trained, so that its random first steps " +
      "disturb no backbone layer; they count as epochs",
    0,
    0,
  ),
  warmupLearningRate: positive("Adam's step size in those epochs", 1e-3),
  classWeights: z.enum(["none", "balanced"]).default("none")
    .describe("balanced: errors on the rarer class weigh more, in proportion"),
  sampling: z.enum(["natural", "balanced"]).default("natural").describe(
    "balanced: every epoch draws as many images of each class; not together with classWeights",
  ),
  augmentation: augmentationOrName.prefault({})
    .describe(
      'Random changes to training images, never to others; "none", or "safe" for symmetries and ' +
        "stain 0.2",
    ),
  checkpoint: z.strictObject({
    monitor: watched.describe("The epoch with the best value is the model that is kept"),
    minutes: positive("Time between two checkpoints within a long epoch, in minutes", 10),
  }).prefault({}).describe("Keras ModelCheckpoint(save_best_only=True)"),
  reduceLROnPlateau: z.strictObject({
    monitor: watched.describe("Watched quantity"),
    factor: fraction.default(0.1).describe("Multiplies the learning rate"),
    patience: count("Epochs without improvement before it does", 3),
    minDelta: z.number().min(0).default(1e-4).describe("Smaller changes are no improvement"),
    cooldown: count("Epochs to wait after a reduction", 0, 0),
    minLearningRate: z.number().min(0).default(1e-6).describe("Never below this"),
  }).prefault({}).describe("Keras ReduceLROnPlateau"),
  earlyStopping: z.strictObject({
    monitor: watched.describe("Watched quantity"),
    patience: count("Epochs without improvement before training stops", 18),
    minDelta: z.number().min(0).default(0).describe("Smaller changes are no improvement"),
    restoreBest: z.boolean().default(true).describe("Go back to the best epoch's weights"),
  }).prefault({}).describe("Keras EarlyStopping"),
  cacheMegabytes: count(
    "Memory for the frozen layers' outputs; those that do not fit are read from disk",
    64,
    0,
  ),
  cacheGigabytes: z.number().min(0).default(20).describe(
    "Disk space, under results/.cache/, for the frozen layers' outputs of all runs; beyond it they " +
      "are computed anew every epoch",
  ),
  cachedViews: count(
    "Different augmented views of an image, which come in turn and are kept: epochs are slower " +
      "until all have been seen. 0: always new ones, for which the frozen layers run every epoch",
    8,
    0,
  ),
  pixelCacheMegabytes: count(
    "Memory for decoded images, which are kept where they are needed again and fit",
    2048,
    0,
  ),
  startAnew: z.boolean().default(false).describe(
    "Discards an interrupted training of this run that was made with other settings or data; " +
      "without it, training refuses to start over one",
  ),
  logs: z.enum(["none", "tensorboard"]).default("none")
    .describe("tensorboard: the curves also go to results/RUN/tensorboard/, for TensorBoard"),
}).refine(({ classWeights, sampling }) => classWeights === "none" || sampling === "natural", {
  error: 'balances the classes twice: set classWeights to "none" or sampling to "natural"',
  path: ["sampling"],
});

const metricsSchema = z.strictObject({
  calibration: z.enum(["auto", "none", "temperature", "platt"]).default("auto").describe(
    "How probabilities are corrected on validation images; auto: whichever has the lowest log loss " +
      "out of fold",
  ),
  threshold: z.strictObject({
    rule: z.enum(["default", "youden", "sensitivity", "costs"]).default("costs").describe(
      "How the threshold is chosen on validation images: costs (the fewest errors, weighed by the " +
        "two costs below), youden (sensitivity + specificity), sensitivity (at least the one below) " +
        "or default (0.5). In a folder of another prevalence, costs and default decide for that one",
    ),
    sensitivity: z.number().gt(0).max(1).default(0.95)
      .describe("Sensitivity to be reached on validation images, for the rule sensitivity"),
    falseNegativeCost: positive("Cost of a missed positive image, for the rule costs", 1),
    falsePositiveCost: positive("Cost of a false alarm, for the rule costs", 1),
  }).prefault({}).describe("From which probability on an image is called positive"),
  acceptErrorRate: z.number().gt(0).lt(0.5).default(0.05).describe(
    "Predictions for new images are accepted without review only where, by the validation images, " +
      "at most this fraction is wrong with 95 % confidence; 0.05 takes 59 patients or slides at " +
      "least, 0.1 takes 29 and 0.15 takes 19",
  ),
  testTimeAugmentation: z.boolean().default(false).describe(
    "Averages the probabilities over the eight symmetries of each image; takes eight times as long",
  ),
  flagShare: z.number().gt(0).max(0.5).default(0.01).describe(
    "Share of ordinary images that may be flagged as unlike the training data, on validation; with " +
      "a smaller one more unusual images pass",
  ),
  references: z.array(z.strictObject({
    name: z.string().min(1),
    score: z.enum(SCORE_NAMES),
    value: z.number(),
    note: z.string().min(1),
  })).default([]).describe(
    "Published scores to be shown beside the run's own: name, score, value and, as note, what " +
      "limits the comparison",
  ),
});

const evaluationSchema = z.strictObject({
  folder: z.string().min(1).default("data/new")
    .describe("Folder of new images, searched at any depth; relative to the project"),
  followLinks: z.boolean().default(false)
    .describe("Classifies what symbolic links in that folder lead to as well"),
  priorShift: z.union([z.enum(["auto", "off"]), z.number().gt(0).lt(1)], {
    error: 'must be "auto", "off" or a prevalence between 0 and 1',
  }).default("auto").describe(
    "Corrects probabilities where the prevalence is another than in validation: auto (where the " +
      "images show it beyond doubt), off, or the prevalence itself where it is known",
  ),
});

/** Every field: its type, range, default and meaning. */
export const configSchema = z.strictObject({
  run: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
    error: "letters, digits, dot, dash and underscore only; 64 at most",
  }).default("default").describe("Name of the run: results/RUN/ and model/RUN/"),
  seed: z.int().min(0).default(42).describe("Of everything random: split, order, weights, dropout"),
  data: dataSchema.prefault({}),
  split: splitSchema.prefault({}),
  model: modelSchema.prefault({}),
  training: trainingSchema.prefault({}),
  metrics: metricsSchema.prefault({}),
  evaluation: evaluationSchema.prefault({}),
});

/** Random changes to training images. */
export type Augmentation = z.infer<typeof augmentationSchema>;

/** How images are divided. */
export type SplitConfig = z.infer<typeof splitSchema>;

/** How a trained model is calibrated, cut and compared. */
export type MetricsConfig = z.infer<typeof metricsSchema>;

/** Every hyperparameter of a run, validated. Defaults are those of the reference recipe. */
export type Config = z.infer<typeof configSchema>;

/** What a config cell may give: any part of a {@linkcode Config}. */
export type ConfigInput = z.input<typeof configSchema>;

/** Whether a text can be a `data.groupPattern`: a regular expression with one capturing group. */
export function isGroupPattern(pattern: string | null): boolean {
  if (pattern === null) return true;
  try {
    return (new RegExp(`${pattern}|`).exec("")?.length ?? 1) - 1 === 1;
  } catch {
    return false;
  }
}
