import { holdsImages, SAMPLE_FOLDER } from "../default_folders.ts";
import { exists } from "../files.ts";
import { fromRoot } from "../paths.ts";
import type { Step } from "./step.ts";

/** With no images in data/, the synthetic sample set to start with. It appears whole or not at all. */
export const sampleStep: Step = {
  name: "sample images",
  remedy: "Check the free disk space, then run the same command again.",
  isDone: async () =>
    await exists(fromRoot(SAMPLE_FOLDER)) || await holdsImages(fromRoot("data"), await classes()),
  run: async (report) => {
    // Packages are there by now, and only now.
    const { makeSampleSet }: typeof import("./sample_set.ts") = await import(
      import.meta.resolve("./sample_set.ts")
    );
    await makeSampleSet(fromRoot(SAMPLE_FOLDER), {
      onProgress: (done, total) => report(`${done} of ${total} synthetic images`),
    });
  },
};

async function classes(): Promise<readonly string[]> {
  const { parseConfig }: typeof import("../config.ts") = await import(
    import.meta.resolve("../config.ts")
  );
  return parseConfig({}).data.classes;
}
