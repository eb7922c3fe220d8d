import { join } from "node:path";
import type { Config } from "../../config_schema.ts";
import { writeJson } from "../../files.ts";
import { loadModel } from "../../model/load_model.ts";
import { disposeModel } from "../../model/model.ts";
import { fromRoot, runPaths } from "../../paths.ts";
import type { OnProgress } from "../../progress.ts";
import { chooseExamples, type ExampleGroup } from "../choose_examples.ts";
import type { TestPrediction } from "../test_run.ts";
import type { ClassActivation } from "./class_activation.ts";
import { checkMaps, type MapCheck } from "./check_maps.ts";
import { type ExplainedImage, explainImages } from "./explain_images.ts";

/** Pictures a group. */
const MOST = 6;

/** Images of each group that the maps are checked on: occlusion is slow. */
const CHECKED = 2;

/** A test image with its prediction and its map. */
export type ExplainedPrediction = TestPrediction & { image: ExplainedImage };

/** What notebook 06 shows of the reasons for predictions. */
export interface ExplainedRun {
  groups: ExampleGroup<ExplainedPrediction>[];
  /** Of the maps of some of them; `null` when there are none. */
  check: MapCheck | null;
}

/**
 * Explains the answers of the run's saved model to the test images that are worth a look: the most
 * confident mistakes, the least certain, and typical right ones of each class. What the check of the
 * maps found goes to explanation_check.json.
 *
 * @param predictions Of notebook 06, by the same model.
 * @param options `method` and `layer` as {@linkcode explainImages} takes them.
 * @throws {ModelError} When there is no usable model.
 * @throws {ConfigError} When the model has no such layer.
 * @throws {ImageError} When an image has gone or broken since.
 */
export async function explainRun(
  config: Pick<Config, "run" | "seed" | "data">,
  predictions: readonly TestPrediction[],
  { onProgress, ...how }: {
    method?: ClassActivation;
    layer?: string;
    onProgress?: OnProgress;
  } = {},
): Promise<ExplainedRun> {
  const runFiles = runPaths(config.run);
  const { model, card } = await loadModel(runFiles.model);
  try {
    const chosen = chooseExamples(predictions, {
      threshold: card.decision.threshold,
      classes: card.architecture.classes,
      most: MOST,
    });
    const rows = chosen.flatMap(({ examples }) => examples);
    const folder = fromRoot(config.data.folder);
    const paths = rows.map(({ path }) => join(folder, path));
    const images = await explainImages(model, card, paths, { ...how, onProgress });
    const imageOf = new Map(rows.map((row, i) => [row, images[i]!]));
    const groups = chosen.map((group) => ({
      ...group,
      examples: group.examples.map((row) => ({ ...row, image: imageOf.get(row)! })),
    }));
    const checked = groups.flatMap(({ examples }) =>
      examples.slice(0, CHECKED).map(({ image }) => image)
    );
    const check = checked.length === 0
      ? null
      : await checkMaps(model, card, checked, { ...how, seed: config.seed, onProgress });
    await writeJson(runFiles.explanationCheck, check);
    return { groups, check };
  } finally {
    disposeModel(model);
  }
}
