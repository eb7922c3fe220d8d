import type { Config } from "../config_schema.ts";
import { imageTraits } from "../images/image_traits.ts";
import { decodeOptions } from "../model/decode_options.ts";
import type { ModelCard } from "../model/model_card.ts";
import { seeImages } from "../model/predict_images.ts";
import { createPredictor, type FeaturePredictor } from "../model/predictor.ts";
import { fitReference } from "../model/reference/fit_reference.ts";
import type { Reference } from "../model/reference/reference.ts";
import { writeReference } from "../model/reference/reference_file.ts";
import type { Appearance } from "../model/reference/strangeness.ts";
import { runPaths } from "../paths.ts";
import type { OnProgress } from "../progress.ts";
import { createRandom } from "../random.ts";
import type { SplitRow, Subset } from "../split/split.ts";
import type { RunModel } from "./run_model.ts";
import { splitContents } from "./split_contents.ts";

/** Images of a subset that are looked at: enough for what is fitted, and no minutes of waiting. */
const MOST = 1000;

/**
 * Learns what ordinary images of the run's model look like, from up to 1000 of its training and of
 * its validation images, drawn by the seed, and writes it to reference.json in the model folder.
 * Test images are not looked at.
 *
 * @param run The saved model, its card, and the split that it was trained on.
 * @returns `null`, and nothing is written, when there are too few images to tell.
 * @throws {ImageError} When an image has gone or broken since the training, or is another one than
 *   the split was made of.
 */
export async function fitRunReference(
  run: RunModel,
  config: Config,
  onProgress?: OnProgress,
): Promise<Reference | null> {
  const { model, card, split } = run;
  const chosen = (subset: Subset) => {
    const rows = split.filter((row) => row.subset === subset);
    return createRandom(`${config.seed}/reference/${subset}`).shuffle(rows).slice(0, MOST);
  };
  const [train, validation] = [chosen("train"), chosen("validation")];
  const total = train.length + validation.length;
  const predictor = createPredictor(model, card.preprocessing);
  let done = 0;
  const look = (rows: readonly SplitRow[]) =>
    appearances(predictor, card, rows, config, (path) => {
      onProgress?.(++done, total, path);
    });
  try {
    const reference = fitReference(
      { train: await look(train), validation: await look(validation) },
      { share: config.metrics.flagShare, weightsSha256: card.weights.sha256 },
    );
    if (reference !== null) await writeReference(runPaths(config.run).model, reference);
    return reference;
  } finally {
    predictor.dispose();
  }
}

async function appearances(
  predictor: FeaturePredictor,
  card: ModelCard,
  rows: readonly SplitRow[],
  config: Config,
  onSeen: (path: string) => void,
): Promise<Appearance[]> {
  const contents = splitContents(rows, config);
  const { batchSize } = config.training;
  const options = { ...decodeOptions(card), batchSize, contents };
  const seen: Appearance[] = [];
  for await (const image of seeImages(predictor, contents.keys(), options)) {
    if ("error" in image) throw image.error;
    const { original, features } = image;
    // a copy: the features of a batch share one array
    seen.push({
      traits: imageTraits(original, options.size, image),
      features: Float32Array.from(features),
    });
    onSeen(rows[seen.length - 1]!.path);
  }
  return seen;
}
