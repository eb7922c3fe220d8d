import type { Config } from "../config_schema.ts";
import { disposeModel } from "../model/model.ts";
import type { Reference } from "../model/reference/reference.ts";
import type { OnProgress } from "../progress.ts";
import { fitRunReference } from "./fit_run_reference.ts";
import { loadRunModel } from "./run_model.ts";

/**
 * Learns what ordinary images of the run look like, so that section 7 can flag others; see
 * `fitRunReference`.
 *
 * @returns `null` when there are too few images to tell.
 * @throws {ModelError} When there is no usable model.
 * @throws {ImageError} When an image has gone or broken since the training.
 */
export async function learnReference(
  config: Config,
  onProgress?: OnProgress,
): Promise<Reference | null> {
  const run = await loadRunModel(config);
  try {
    return await fitRunReference(run, config, onProgress);
  } finally {
    disposeModel(run.model);
  }
}
