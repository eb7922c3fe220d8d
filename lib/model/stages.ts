import { backbones } from "./backbone.ts";
import { inferShapes, isTrainable, weightSpecs } from "./graph.ts";
import { isHeadLayer } from "./head.ts";
import { type Architecture, buildGraph, inputShape } from "./model.ts";

/** One row of a model's summary. */
export interface Stage {
  stage: string;
  layers: number;
  /** Output of the stage's last layer for one image, such as "7 × 7 × 2048". */
  output: string;
  parameters: number;
  /** Parameters that training changes. */
  trainable: number;
}

/**
 * A model's layers summed up by stage.
 *
 * @param frozenLayers Layers from the start that are frozen.
 */
export function summariseStages(architecture: Architecture, frozenLayers: number): Stage[] {
  const graph = buildGraph(architecture);
  const inputs = inputShape(architecture);
  const shapes = inferShapes(graph, inputs);
  const specs = weightSpecs(graph, inputs);
  const { stageOf } = backbones[architecture.backbone];
  const stages = new Map<string, Stage>();
  graph.forEach(({ name, op }, index) => {
    if (op === "input") return;
    const stage = isHeadLayer(name) ? "head" : stageOf(name);
    const row = stages.get(stage) ??
      { stage, layers: 0, output: "", parameters: 0, trainable: 0 };
    row.layers += 1;
    row.output = (shapes.get(name) ?? []).join(" × ");
    for (const spec of specs.filter(({ layer }) => layer === name)) {
      const size = spec.shape.reduce((product, extent) => product * extent, 1);
      row.parameters += size;
      if (index >= frozenLayers && isTrainable(spec.name)) row.trainable += size;
    }
    stages.set(stage, row);
  });
  return [...stages.values()];
}

/** How many layers from the start are frozen when the backbone's last `unfreezeLast` are not. */
export function frozenLayerCount(backbone: Architecture["backbone"], unfreezeLast: number): number {
  return Math.max(0, backbones[backbone].graph().length - unfreezeLast);
}
