import assert from "node:assert/strict";
import { describeEvaluation } from "../../lib/evaluation/results.ts";
import { evaluate, putImages, withNewImages } from "./with_new_images.ts";

Deno.test(
  "describeEvaluation() says what was done, what is missing, and how to go on",
  withNewImages((folder) => putImages(folder, 40), async (places) => {
    const result = await evaluate(places);
    const counts = `37 images classified, ${result.review} of them to be reviewed; ` +
      "3 could not be read.";
    const { positive, share } = result.shares.all;
    const shareLine = describeEvaluation(result)[2]!;
    assert.ok(
      shareLine.startsWith(
        `“=positive”: ${positive} of 37 images called positive, ${
          (100 * share!).toFixed(1)
        } % (95 %`,
      ),
      shareLine,
    );
    assert.deepEqual(describeEvaluation(result), [counts, places.out, shareLine]);

    const stopped = {
      ...result,
      priorShift: null,
      state: "stopped" as const,
      images: 1400,
      resumed: 20,
    };
    assert.deepEqual(describeEvaluation({ ...stopped, restarted: "folder" }), [
      "The folder has changed since the evaluation that was interrupted: all was begun anew.",
      "20 images had been classified before.",
      counts,
      "Stopped after 40 of 1,400 images: no CSV is written yet. Run this again to go on.",
    ]);
    const part = await evaluate(places, { shard: { index: 2, count: 2 } });
    assert.match(describeEvaluation(part).join("\n"), /This part is done.*Join.*--merge/);
    const skipped = { hidden: 0, links: 2, otherType: 1 };
    assert.equal(
      describeEvaluation({ ...result, skipped })[1],
      "In the folder: 2 links, 1 file of another type not looked at. Links are followed with " +
        "evaluation.followLinks: true, or --follow-links, except to what is listed already.",
    );
    const exports = { files: ["a.geojson"], withoutPlace: 3 };
    assert.deepEqual(describeEvaluation({ ...result, exports }).slice(1), [
      places.out,
      "a.geojson",
      shareLine,
      "The sidecar gives no place for 3 images.",
    ]);
  }),
);
