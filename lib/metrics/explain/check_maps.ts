import { isHeadLayer } from "../../model/head.ts";
import type { Model } from "../../model/model.ts";
import type { ModelCard } from "../../model/model_card.ts";
import type { OnProgress } from "../../progress.ts";
import { correlation, rankCorrelation } from "../correlation.ts";
import { type ExplainedImage, explainImages, type ExplainOptions } from "./explain_images.ts";
import { type HeatMap, resizeMap } from "./heat_map.ts";
import { shuffleWeights } from "./shuffle_weights.ts";

/** Layers of the backbone that the sanity check randomises, beside the head. */
const LAST_LAYERS = 30;

/**
 * From this rank correlation with a randomised model's maps on, maps are doubtful: a convention of
 * this project, there is none in the literature.
 */
const DOUBTFUL = 0.5;

/** Whether maps can be believed. Correlations are means over images; `null`: undefined in all. */
export interface MapCheck {
  /** How many were checked. */
  images: number;
  /** Rank correlation with the maps of a model whose head is randomised. */
  randomHead: number | null;
  /** Rank correlation with the maps of a model whose head and last 30 other layers are. */
  randomLastLayers: number | null;
  /** Pearson correlation with occlusion sensitivity. */
  occlusion: number | null;
  /** The maps would look much the same had the model learnt nothing: they are no reasons. */
  doubtful: boolean;
  /** All of it in words. */
  sentence: string;
}

/**
 * Checks maps in two ways: a model of randomised weights must give other maps, or the maps show the
 * picture rather than what the model has learnt (Adebayo et al., Sanity Checks for Saliency Maps,
 * NeurIPS 2018); and occlusion sensitivity, which uses no gradient, should point to the same places.
 *
 * @param explained Maps of this model by gradient.
 * @param options `method` and `layer` as they were explained with; `seed` of the randomisation.
 */
export async function checkMaps(
  model: Model,
  card: ModelCard,
  explained: readonly ExplainedImage[],
  { seed, onProgress, ...how }: Pick<ExplainOptions, "method" | "layer"> & {
    seed: number;
    onProgress?: OnProgress | undefined;
  },
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
    return meanOf(others.map(({ map }, i) => compare(explained[i]!.map, map)));
  };
  const randomised = async (layers: number): Promise<number | null> => {
    const random = await shuffleWeights(model, layers, seed);
    const ranks = (a: HeatMap, b: HeatMap) => rankCorrelation(a.values, b.values);
    try {
      return await against(random.model, how, ranks, "checking with randomised weights");
    } finally {
      random.dispose();
    }
  };
  const headLayers = model.graph.filter(({ name }) => isHeadLayer(name)).length;
  const randomHead = await randomised(headLayers);
  const randomLastLayers = await randomised(headLayers + LAST_LAYERS);
  const check = {
    images: explained.length,
    randomHead,
    randomLastLayers,
    doubtful: Math.max(randomHead ?? 0, randomLastLayers ?? 0) >= DOUBTFUL,
    occlusion: await against(
      model,
      { method: "occlusion" },
      (a, b) => correlation(resizeMap(a, b.height, b.width), b.values),
      "checking by covering places",
    ),
  };
  return { ...check, sentence: describe(check) };
}

function meanOf(values: readonly (number | null)[]): number | null {
  const defined = values.filter((value) => value !== null);
  return defined.length === 0 ? null : defined.reduce((a, b) => a + b, 0) / defined.length;
}

function describe(check: Omit<MapCheck, "sentence">): string {
  const said = (value: number | null) => value === null ? "undefined" : value.toFixed(2);
  const { images, randomHead, randomLastLayers, doubtful, occlusion } = check;
  const verdict = doubtful
    ? "These maps show the picture more than what the model learnt: do not read them as reasons. "
    : "";
  return `${verdict}Checked on ${images} image${
    images === 1 ? "" : "s"
  }. Mean rank correlation with the ` +
    `maps of a model whose head is randomised: ${said(randomHead)}; whose last ${LAST_LAYERS} ` +
    `other layers are too: ${said(randomLastLayers)} (the nearer to 1, the less the maps depend ` +
    `on what was learnt). Mean correlation with occlusion sensitivity, which uses no gradient: ` +
    `${said(occlusion)}.`;
}
