import { cutGraph } from "../model/graph.ts";
import { disposeModel, frozenLayerCount, type Model, summariseStages } from "../model/model.ts";
import { startRun } from "../model/start.ts";
import type { Run } from "../run/run.ts";
import { labelledFiles, members } from "../run/split_file.ts";
import { type Displayable, displayAll, htmlTable, notice, showProgress } from "../show/display.ts";
import { augmentationGrid, predictionGrid } from "../show/pictures.ts";

/** What notebook 04 shows of the model that training starts from. */
interface BuiltModel {
  /** Where its weights come from. */
  weights: Displayable;
  /** Which layers are frozen, which are trained, and what the frozen ones hand over. */
  layers: Displayable;
  /** Some training images with the untrained model's probabilities. */
  untrained: Displayable;
  /** Training images as augmentation changes them. */
  augmentation: Displayable;
}

/**
 * Builds the model that training starts from and tries it on ten training images. A weights file
 * that is missing is downloaded. Nothing is written; training builds the same model again.
 *
 * @throws {DataError} When notebook 03 has not been run.
 * @throws {ModelError} When the starting weights cannot be obtained.
 * @throws {ImageError} When a training image cannot be read.
 */
export async function build(run: Run): Promise<BuiltModel> {
  const { data, training: { augmentation }, seed } = run.config;
  const start = await startRun(run, showProgress("Downloading weights"));
  const { model, startingWeights, split, decode } = start;
  try {
    const items = labelledFiles(members(split)[0]!.train, run.config);
    return {
      weights: notice(
        `Started from: ${startingWeights.note}.`,
        startingWeights.kind === "random" ? "warning" : "info",
      ),
      layers: showLayers(run, model),
      untrained: await predictionGrid(model, items.slice(0, 10).map(({ path }) => path), {
        title: `Probability of ${data.classes.at(-1)}, untrained`,
        ...decode,
      }),
      augmentation: await augmentationGrid(items, { augmentation, seed, ...decode }),
    };
  } finally {
    disposeModel(model);
  }
}

function showLayers({ config }: Run, { architecture, graph }: Model): Displayable {
  const frozenLayers = frozenLayerCount(architecture.backbone, config.model.unfreezeLast);
  const { frozen, trainable, boundary } = cutGraph(graph, frozenLayers);
  const cut = {
    "layers computed once an image": frozen.length,
    "layers trained or behind": trainable.length - boundary.length,
    "handed over": boundary.join(", "),
  };
  return displayAll(htmlTable(summariseStages(architecture, frozenLayers)), htmlTable([cut]));
}
