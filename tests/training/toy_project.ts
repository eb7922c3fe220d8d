import { join } from "node:path";
import { merge, parseConfig } from "../../lib/core/config.ts";
import { sha256File } from "../../lib/core/files.ts";
import type { Config, ConfigInput } from "../../lib/core/settings.ts";
import { type SplitRow, SUBSETS, writeSplit } from "../../lib/run/split_file.ts";
import { inProjectCopy, type ProjectCopy } from "../copy_project.ts";
import { put } from "../data/test_images.ts";
import { toyImages } from "./toy.ts";

/** The class folders of a toy project. */
export const CLASSES = ["negative", "positive"];

/** A project whose notebooks 02 and 03 have been run on 30 toy images. */
export interface ToyProject extends ProjectCopy {
  /** The run's config with changes laid over it: 2 epochs of the head alone, in batches of 8. */
  config: (change?: ConfigInput) => Config;
}

/** Runs a test in a {@linkcode ToyProject} of its own. */
export function withToyProject(
  test: (project: ToyProject) => Promise<void>,
): () => Promise<void> {
  return () =>
    inProjectCopy(async ({ root, load }) => {
      await Deno.mkdir(join(root, "data/toy"), { recursive: true });
      const items = await toyImages(join(root, "data/toy"), 30, 1);
      const rows = items.map(({ path, label, sha256 }, i): SplitRow => ({
        path: path.slice(join(root, "data/").length),
        label: CLASSES[label]!,
        group: `${i}`,
        sha256,
        subset: SUBSETS[Math.floor(i / 3) % 3]!,
      }));
      const split = join(root, "results/default/split.csv");
      await writeSplit(split, rows);
      const certificate = {
        manifest_sha256: "a".repeat(64),
        split_sha256: await sha256File(split),
      };
      await put(root, "results/default/split_certificate.json", JSON.stringify(certificate));
      const config = (change: ConfigInput = {}) =>
        parseConfig(merge({
          data: { folder: "data", classes: CLASSES },
          model: {
            backbone: "efficientnet_lite0",
            weights: "random",
            imageSize: 32,
            unfreezeLast: 0,
          },
          training: { epochs: 2, batchSize: 8 },
        }, change));
      await test({ root, load, config });
    });
}
