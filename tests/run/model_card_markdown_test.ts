import assert from "node:assert/strict";
import type { ModelCard } from "../../lib/run/model_card.ts";
import { modelCardMarkdown } from "../../lib/run/model_card_text.ts";
import { testCard } from "../model/model_card.ts";

const classes = ["negative", "positive_one"];

const card: ModelCard = {
  ...testCard({ backbone: "efficientnet_lite0", imageSize: 224, classes }),
  weights: { sha256: "a".repeat(64), parameters: 4203810 },
};

Deno.test("modelCardMarkdown() has the headings of Mitchell and others, and says what is not known", () => {
  const text = modelCardMarkdown(card, null);
  assert.deepEqual([...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title), [
    "Model details",
    "Intended use",
    "Factors",
    "Metrics",
    "Evaluation data",
    "Training data",
    "Quantitative analyses",
    "Ethical considerations",
    "Caveats and recommendations",
  ]);
  assert.match(text, /^> \*\*Synthetic images\.\*\*/m);
  assert.match(text, /4,203,810 parameters/);
  assert.match(text, /Not tested yet/);
  assert.match(text, /Let a person look at every prediction/);
  assert.match(text, /AUC undefined/);
  assert.doesNotMatch(text, /undefined,|NaN|null|\[object/);
  assert.doesNotMatch(
    modelCardMarkdown({ ...card, data: { ...card.data, synthetic: false } }, null),
    /Synthetic/,
  );
});

Deno.test("modelCardMarkdown() gives the test scores with interval and baseline", () => {
  const score = { low: 0.8, high: 0.95, baseline: 0.5, n: 60, method: "a|b" };
  const text = modelCardMarkdown(card, {
    reads: 2,
    probe: { reason: "The weights have *gone*." },
    scores: {
      roc_auc: { ...score, value: 0.9 },
      precision: { ...score, value: null, low: null, high: null, baseline: null },
    },
  });
  assert.match(
    text,
    /^\| ROC-AUC \| 0\.9000 \| 0\.8000 to 0\.9500 \| 0\.5000 \| 60 \| a\\\|b \|$/m,
  );
  assert.match(text, /^\| Precision \| – \| – \| – \| 60 \|/m);
  assert.match(text, /They have been read 2 times\./);
  assert.match(
    text,
    /^There is no linear probe to compare with: The weights have \\\*gone\\\*\.$/m,
  );
});

Deno.test("modelCardMarkdown() tells the attention of a model that has one", () => {
  const networkOf = (attention: ModelCard["architecture"]["attention"]) => {
    const architecture = { ...card.architecture, attention };
    return /efficientnet.* units/.exec(
      modelCardMarkdown({ ...card, architecture }, null),
    )![0];
  };
  assert.match(networkOf("cbam"), /with convolutional block attention and a head of dense/);
  assert.match(networkOf("se"), /with squeeze-and-excitation and a head of dense/);
  for (const attention of ["none", undefined] as const) {
    assert.match(networkOf(attention), /with a head of dense/);
  }
});

Deno.test("modelCardMarkdown() lets no name become markup", () => {
  const name = "<script>\n# x [a](b) `c` *d*";
  const text = modelCardMarkdown({
    ...card,
    run: name,
    architecture: { ...card.architecture, classes: ["a", name] },
    startingWeights: { ...card.startingWeights, note: name },
    data: { ...card.data, groupPattern: "`</code><script>`" },
    versions: { [name]: name },
  }, null);
  assert.doesNotMatch(text.replace(/`[^`\n]*`/g, ""), /<script|<\/code|^# x|\[a\]\(b\)/m);
  assert.equal(text.match(/^#/gm)?.length, 10);
});

Deno.test("modelCardMarkdown() tells what the images of folds were for, and what is held out", () => {
  const ensemble = { members: 5, frozenLayers: 111 };
  const of = (test: number) =>
    modelCardMarkdown({
      ...card,
      architecture: { ...card.architecture, ensemble },
      data: { ...card.data, folds: 5, images: { train: 80, validation: 80, test } },
    }, null);
  assert.match(of(80), /Members: 5 with the same frozen layers/);
  assert.match(of(80), /80 images, each predicted by the member that never saw its patient/);
  assert.match(of(80), /80 images in 5 folds\. Each member learnt from all but two/);
  assert.match(of(20), /20 test images of the same source .*, set apart before training/);
});
