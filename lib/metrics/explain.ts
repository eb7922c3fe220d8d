import { basename, join } from "node:path";
import { breathe, type OnProgress } from "../core/long_work.ts";
import { fromRoot } from "../core/paths.ts";
import { createRandom } from "../core/random.ts";
import { correlation, rankCorrelation } from "../core/stats.ts";
import { type TensorFlow, tf } from "../core/tensorflow.ts";
import { images } from "../core/words.ts";
import { batches } from "../images/decode.ts";
import { isHeadLayer, ofMember } from "../model/architectures.ts";
import { weightSpecs } from "../model/graph.ts";
import { disposeModel, inputShape, memberOf, type Model } from "../model/model.ts";
import { decodeOptions } from "../model/predict.ts";
import { loadModel, type RunModel } from "../model/saved.ts";
import { type MapCheck, writeMapCheck } from "../run/checks.ts";
import { calibrate, decide } from "../run/decision.ts";
import type { ModelCard } from "../run/model_card.ts";
import { classIndex, type Prediction } from "../run/predictions.ts";
import type { Run } from "../run/run.ts";
import { foldsOf } from "../run/split_file.ts";
import { createExplainer, type HeatMap, occlusionMap, resizeMap } from "./grad_cam.ts";
import { chooseExamples, type ExampleGroup, type ExamplePredictions } from "./test.ts";

/** Pictures a group, and how many of them the maps are checked on: occlusion is slow. */
const [MOST, CHECKED] = [6, 2];

/** A test image with its prediction and its map. */
export type ExplainedPrediction = Prediction & { image: ExplainedImage };

/**
 * Explains the predictions of the run's saved model for the test images that are worth a look: the
 * most confident mistakes, the least certain, and typical right ones of each class. What the check
 * of the maps found goes to explanation_check.json.
 *
 * @param predictions Of the test images, by the same model.
 * @param options `layer` as {@linkcode explainImages} takes it. `loaded`: the model, where it is
 * loaded already, with the card that the predictions were made by.
 * @throws {ModelError} When there is no usable model.
 * @throws {ConfigError} When the model has no such layer.
 * @throws {ImageError} When an image has gone or broken since.
 */
export async function explainRun(
  run: Run,
  predictions: ExamplePredictions<Prediction>,
  { loaded, onProgress, ...how }: {
    loaded?: Pick<RunModel, "model" | "card">;
    layer?: string;
    onProgress?: OnProgress;
  } = {},
) {
  const { config } = run;
  const { model, card } = loaded ?? await loadModel(run.paths.model);
  try {
    const chosen = chooseExamples(predictions, MOST);
    const rows = chosen.flatMap(({ examples }) => examples);
    let done = 0;
    const folds = foldsOf(predictions.rows.map(({ fold = "" }) => fold));
    const folder = fromRoot(config.data.folder);
    const pathOf = ({ path }: Prediction) => join(folder, path);
    const imageOf = new Map<Prediction, ExplainedImage>();
    // an image that was predicted out of fold is explained by the member that predicted it
    for (const [fold = "", own] of Map.groupBy(rows, ({ fold }) => fold)) {
      const by = fold === "" ? model : memberOf(model, folds.indexOf(fold));
      const classes = own.map(({ predicted }) => predicted);
      const explained = await explainImages(by, card, own.map(pathOf), {
        ...how,
        ...fold !== "" && { classes },
        onProgress: (_done, _total, path) => onProgress?.(++done, rows.length, path),
      });
      own.forEach((row, i) => imageOf.set(row, explained[i]!));
    }
    const groups = chosen.map((group): ExampleGroup<ExplainedPrediction> => {
      const examples = group.examples.map((row) => ({ ...row, image: imageOf.get(row)! }));
      return { ...group, examples };
    });
    const some = groups.flatMap(({ examples }) => examples.slice(0, CHECKED));
    const options = { ...how, seed: config.seed, onProgress };
    const checked = card.architecture.ensemble
      ? await explainImages(model, card, some.map(pathOf), how)
      : some.map(({ image }) => image);
    const check = some.length === 0 ? null : await checkMaps(model, card, checked, options);
    await writeMapCheck(run.paths.explanationCheck, check);
    return { groups, check };
  } finally {
    if (!loaded) disposeModel(model);
  }
}

/** Images explained at once: what an early layer of a deep network keeps for them fits in 2 GB. */
const BATCH_SIZE = 8;

/** An image with where the evidence for a class is in it. */
export interface ExplainedImage {
  path: string;
  /** As the model saw the image: RGB, row-major [size, size, 3]. */
  pixels: Uint8Array;
  /** In pixels. */
  size: number;
  /** Calibrated, one a class. */
  probabilities: number[];
  /** Class folder names: the predicted one, and the one that the map is of. */
  predicted: string;
  explained: string;
  /** At the layer's size, or that of the grid of squares. */
  map: HeatMap;
}

interface ExplainOptions {
  method?: "grad_cam" | "occlusion";
  layer?: string | undefined;
  classes?: readonly string[];
  onProgress?: OnProgress | undefined;
}

/**
 * Shows where in images a model finds evidence for a class: by the gradient of the class's logit
 * (Grad-CAM), or by covering one place after another (occlusion sensitivity).
 *
 * @param card Says how images are read and how a class is predicted from probabilities.
 * @param paths Absolute. Everything stays in memory: 0.15 MB an image of 224 pixels.
 * @param options `layer`: its name for Grad-CAM; the last one that still has places when left out.
 * `classes`: folder names to explain, one a path; the predicted ones when left out.
 * @returns One a path, in their order.
 * @throws {ConfigError} When a layer is not the model's.
 * @throws {DataError} When a class is not the model's.
 * @throws {ImageError} When an image cannot be read.
 * @throws {ModelError} When the model gives no finite numbers.
 */
export async function explainImages(
  model: Model,
  card: ModelCard,
  paths: readonly string[],
  { method = "grad_cam", layer, classes, onProgress }: ExplainOptions = {},
): Promise<ExplainedImage[]> {
  const { architecture: { classes: names }, decision, preprocessing } = card;
  const wanted = classes?.map((name) => classIndex(names, name));
  const predict = (raw: readonly number[]) => {
    const probabilities = calibrate(raw, decision.calibration);
    return { probabilities, label: decide(probabilities, decision.threshold) };
  };
  const explainer = createExplainer(model, { layer, preprocessing });
  const results: ExplainedImage[] = [];
  try {
    const decode = { ...decodeOptions(card), batchSize: BATCH_SIZE };
    for await (const { pixels, paths: own } of batches(paths, decode)) {
      const first = results.length;
      const classOf = (raw: readonly number[], row: number) =>
        wanted?.[first + row] ?? predict(raw).label;
      const batch = await explainer.explain(pixels, classOf);
      const length = pixels.length / own.length;
      for (const [row, path] of own.entries()) {
        const label = batch.classes[row]!;
        const image = pixels.slice(row * length, (row + 1) * length);
        const { label: predicted, probabilities } = predict(batch.probabilities[row]!);
        results.push({
          path,
          pixels: image,
          size: decode.size,
          probabilities,
          predicted: names[predicted]!,
          explained: names[label]!,
          map: method === "occlusion"
            ? await occlusionMap(explainer, image, label)
            : batch.maps[row]!,
        });
        onProgress?.(results.length, paths.length, basename(path));
      }
      await breathe();
    }
    return results;
  } finally {
    explainer.dispose();
  }
}

/** Layers of the backbone that the sanity check randomises, beside the head. */
const LAST_LAYERS = 30;

/**
 * From this rank correlation with a randomised model's maps on, maps are doubtful: a convention of
 * this project, there is none in the literature.
 */
const DOUBTFUL = 0.5;

/**
 * Checks maps in two ways: a model of randomised weights must give other maps, or the maps show the
 * picture rather than what the model has learnt (Adebayo et al., Sanity Checks for Saliency Maps,
 * NeurIPS 2018); and occlusion sensitivity, which uses no gradient, should point to the same places.
 *
 * @param explained By Grad-CAM of this model.
 * @param options `layer`: that they were explained at. `seed`: of the randomisation.
 */
export async function checkMaps(
  model: Model,
  card: ModelCard,
  explained: readonly ExplainedImage[],
  { seed, layer, onProgress }: Pick<ExplainOptions, "layer" | "onProgress"> & { seed: number },
): Promise<MapCheck> {
  const paths = explained.map(({ path }) => path);
  const classes = explained.map((image) => image.explained);
  const against = async (
    other: Model,
    options: ExplainOptions,
    compare: (a: HeatMap, b: HeatMap) => number | null,
    note: string,
  ): Promise<number | null> => {
    const others = await explainImages(other, card, paths, {
      ...options,
      classes,
      onProgress: (done, total) => onProgress?.(done, total, note),
    });
    const found = others.map(({ map }, i) => compare(explained[i]!.map, map))
      .filter((value) => value !== null);
    return found.length === 0 ? null : found.reduce((a, b) => a + b, 0) / found.length;
  };
  const ranks = (a: HeatMap, b: HeatMap) => rankCorrelation(a.values, b.values);
  const randomised = async (layers: number) => {
    const random = await shuffleWeights(model, layers, seed);
    return await against(random.model, { layer }, ranks, "checking with randomised weights")
      .finally(random.dispose);
  };
  const { members = 1 } = model.architecture.ensemble ?? {};
  const headLayers =
    model.graph.filter(({ name }) => isHeadLayer(ofMember(name)?.own ?? name)).length;
  const randomHead = await randomised(headLayers);
  const randomLastLayers = await randomised(headLayers + members * LAST_LAYERS);
  const doubtful = Math.max(randomHead ?? 0, randomLastLayers ?? 0) >= DOUBTFUL;
  const occlusion = await against(
    model,
    { method: "occlusion" },
    (a, b) => correlation(resizeMap(a, b.height, b.width), b.values),
    "checking by covering places",
  );
  const said = (value: number | null) => value === null ? "undefined" : value.toFixed(2);
  const verdict = doubtful
    ? "These maps show the picture more than what the model learnt: do not read them as reasons. "
    : "";
  const checked = `${verdict}Checked on ${images(paths.length)}.`;
  const sentence = `${checked} Mean rank correlation with the maps of a model whose head is ` +
    `randomised: ${said(randomHead)}; whose last ${LAST_LAYERS} other layers are too: ` +
    `${said(randomLastLayers)} (the nearer to 1, the less the maps depend on what was learnt). ` +
    `Mean correlation with occlusion sensitivity, which uses no gradient: ${said(occlusion)}.`;
  return { images: paths.length, randomHead, randomLastLayers, doubtful, occlusion, sentence };
}

/**
 * A copy of a model that has unlearnt its last layers: in each of their weights the values have
 * changed places at random. They keep their distribution, so that activations keep their scale;
 * freshly drawn ones would not, behind BatchNorms with moving statistics of their own.
 *
 * @param count How many layers, counted from the output.
 * @returns `dispose` frees the new weights only; the others are the given model's.
 */
export async function shuffleWeights(model: Model, count: number, seed: number) {
  const layers = new Set(model.graph.slice(-count).map(({ name }) => name));
  const specs = weightSpecs(model.graph, inputShape(model.architecture));
  const made: [name: string, tensor: TensorFlow.Tensor][] = [];
  for (const { name, shape } of specs.filter(({ layer }) => layers.has(layer))) {
    const values = [...await model.weights.get(name)!.data() as Float32Array];
    const shuffled = createRandom(`${seed}/shuffle/${name}`).shuffle(values);
    made.push([name, tf.tensor(Float32Array.from(shuffled), shape)]);
    await breathe();
  }
  return {
    model: { ...model, weights: new Map([...model.weights, ...made]) },
    dispose: () => tf.dispose(made.map(([, tensor]) => tensor)),
  };
}
