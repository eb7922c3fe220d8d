import assert from "node:assert/strict";
import { correlation } from "../../../lib/core/stats.ts";
import { type ClassActivation, createExplainer, toHeatMap } from "../../../lib/metrics/grad_cam.ts";
import { preprocess } from "../../../lib/model/forward.ts";
import {
  type Architecture,
  backbones,
  createModel,
  disposeModel,
  estimateMoments,
  type Model,
} from "../../../lib/model/model.ts";
import { askKeras, disturbBatchNorms, handOver, someImages } from "../../model/ask_keras.ts";
import { inFolder } from "../../data/test_images.ts";

/** The last maps are then 4 × 4. */
const SIZE = 128;

const IMAGES = 3;

/** The last map, layers inside and at the end of blocks, before a BatchNorm and before a ReLU. */
const LAYERS = {
  efficientnet_lite0: [
    "top_activation",
    "block7a_project_bn",
    "block5b_add",
    "block4a_dwconv",
    "block2b_expand_activation",
  ],
  resnet50: [
    "conv5_block3_out",
    "conv5_block2_2_conv",
    "conv5_block1_1_relu",
    "conv3_block4_out",
  ],
} as const;

/** Where Grad-CAM++ is defined: behind a ReLU, where no sum over an activation is negative. */
const RECTIFIED = /(_activation|_relu|_out)$/;

const seenPixels = someImages(IMAGES, SIZE, 4);

function randomModel(backbone: Architecture["backbone"]): Model {
  const model = createModel({ backbone, imageSize: SIZE, classes: ["negative", "positive"] }, 3);
  const images = preprocess(someImages(8, SIZE, 2), SIZE, backbones[backbone].preprocessing);
  estimateMoments(model, images);
  images.dispose();
  disturbBatchNorms(model);
  return model;
}

Deno.test("createExplainer() gives Keras' Grad-CAM and Grad-CAM++ at any layer, for either class", async () => {
  const names = ["efficientnet_lite0", "resnet50"] as const;
  const cases = names.map((name) =>
    LAYERS[name].map((layer, i) => ({ layer: layer as string, class: i % 2 }))
  );
  const models = names.map(randomModel);
  let answers: Record<ClassActivation, number[][][]>[][] = [];
  await inFolder(async (folder) => {
    const handed = await Promise.all(models.map(async (model, i) => ({
      ...await handOver(folder, model, seenPixels),
      cases: cases[i],
    })));
    const request = { question: "class_activation_maps", models: handed };
    answers = await askKeras(request) as typeof answers;
  });
  let compared = 0;
  for (const [m, model] of models.entries()) {
    for (const [c, { layer, class: label }] of cases[m]!.entries()) {
      const explainer = createExplainer(model, { layer });
      for (const method of ["grad_cam", "grad_cam_plus_plus"] as const) {
        if (method === "grad_cam_plus_plus" && !RECTIFIED.test(layer)) continue;
        const { maps } = await explainer.explain(seenPixels, method, () => label);
        maps.forEach((map, i) => {
          const evidence = Float32Array.from(answers[m]![c]![method][i]!.flat());
          const theirs = toHeatMap(evidence, map);
          const r = correlation(map.values, theirs.values);
          assert.equal(map.isZero, theirs.isZero, `${layer} ${method} ${i}`);
          if (r === null) return;
          compared += 1;
          assert.ok(r > 0.999, `${layer} ${method} ${i}: correlation ${r}`);
        });
      }
      explainer.dispose();
    }
    disposeModel(model);
  }
  assert.ok(compared > 30, `${compared} maps were compared`);
});
