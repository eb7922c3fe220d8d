import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { createRandom } from "../../lib/core/random.ts";
import {
  compareTested,
  type Comparison,
  correctedResampledTest,
  holm,
  type TestedRun,
} from "../../lib/metrics/compare.ts";
import { comparisonTable } from "../../lib/show/tables.ts";
import { askPython } from "../ask_python.ts";
import { inProjectCopy } from "../copy_project.ts";
import { put } from "../data/test_images.ts";

const classes = ["no", "yes"];

/** Runs on the same images, `folds` of them by slide (0: a single split), with skills of their own. */
function runsOf(
  seed: string,
  skills: readonly number[],
  { slides = 15, images = 10, folds = 5, grouped = true } = {},
): TestedRun[] {
  const random = createRandom(seed);
  const drawn = Array.from({ length: slides * images }, (_, i) => {
    const slide = i % slides;
    const path = `${slide}/${i}.png`;
    const fold = folds > 0 ? `fold_${slide % folds + 1}` : "";
    const label = random.next() < 0.4 ? "yes" : "no";
    return { path, label, sha256: path, group: grouped ? `${slide}` : path, fold };
  });
  return skills.map((skill, run) => {
    const rows = drawn.map((row) => {
      const logit = (row.label === "yes" ? skill : -skill) + 1.5 * random.normal();
      const probability = 1 / (1 + Math.exp(-Math.round(4 * logit) / 4)); // with ties
      return { ...row, predicted: probability > 0.5 ? "yes" : "no", probability };
    });
    return { run: `run ${run}`, classes, rows };
  });
}

const compareOne = ([reference, other]: TestedRun[]): Comparison =>
  compareTested(reference!, [other!], 1)[0]!;

function assertNear(actual: number, expected: number, what: string): void {
  assert.ok(Math.abs(actual - expected) < 1e-7, `${what}: ${actual} is not ${expected}`);
}

Deno.test("compareTested() agrees with scipy and scikit-learn", async () => {
  const pairs = Array.from(
    { length: 8 },
    (_, i) => runsOf(`pair ${i}`, [1, 1 + i / 6], { slides: 10, images: 12 }),
  );
  const cases = pairs.map((runs) => ({
    labels: runs[0]!.rows.map(({ label }) => classes.indexOf(label)),
    groups: runs[0]!.rows.map(({ group }) => group),
    folds: runs[0]!.rows.map(({ fold }) => fold),
    runs: runs.map(({ rows }) => ({
      probabilities: rows.map(({ probability }) => probability),
      predicted: rows.map(({ predicted }) => classes.indexOf(predicted)),
    })),
  }));
  type Answer = { differences: number[]; flips: number; mcnemar: number; corrected: number[] };
  const oracle = join(import.meta.dirname!, "oracle.py");
  const { compared } = await askPython(oracle, { compared: cases }) as { compared: Answer[] };
  for (const [i, { differences, flips, mcnemar, corrected }] of compared.entries()) {
    const { roc_auc, accuracy } = compareOne(pairs[i]!).differences;
    assertNear(roc_auc!.value!, differences[0]!, "AUC");
    assertNear(accuracy!.value!, differences[1]!, "accuracy");
    const { tests } = compareOne(pairs[i]!);
    assert.deepEqual(tests.map(({ score, by }) => [score, by]), [
      ["accuracy", "sign-flip, 10 groups"],
      ["roc_auc", "corrected t, 5 folds"],
      ["accuracy", "corrected t, 5 folds"],
    ]);
    [flips, ...corrected].forEach((p, at) => assertNear(tests[at]!.p, p, tests[at]!.by));
    const alone = pairs[i]!.map(({ rows, ...run }) => ({
      ...run,
      rows: rows.map((row) => ({ ...row, group: row.path })),
    }));
    const [{ by, p } = {}] = compareOne(alone).tests;
    assert.equal(by, "McNemar");
    assertNear(p!, mcnemar, "McNemar");
  }
});

Deno.test("correctedResampledTest() is the hand-worked one, and knows what it cannot tell", () => {
  // mean 2, variance 1, k = 3: t = 2 / sqrt(1/3 + 1) = sqrt(3); two degrees of freedom: 1 - sqrt(3/5)
  assertNear(correctedResampledTest([1, 2, 3], 1)!, 1 - Math.sqrt(3 / 5), "p");
  assert.equal(correctedResampledTest([0, 0, 0], 1), 1);
  assert.equal(correctedResampledTest([0.3 - 0.2, 0.2 - 0.1, 0.1], 1), null, "no spread");
  assert.equal(correctedResampledTest([0.1], 1), null);
});

Deno.test("holm() multiplies by the tests that are left, and never falls", () => {
  const round = (ps: number[]) => ps.map((p) => Number(p.toFixed(12)));
  assert.deepEqual(round(holm([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02]);
  assert.deepEqual([holm([]), holm([0.3]), holm([0.6, 0.7])], [[], [0.3], [1, 1]]);
});

Deno.test("compareTested() shows a large difference, corrected over all, and none where there is none", () => {
  const [base, same, better] = runsOf("three", [1, 1, 3], { folds: 0 }) as [
    TestedRun,
    TestedRun,
    TestedRun,
  ];
  const [none, shown, itself] = compareTested(base, [same, better, base], 1);
  assert.equal(none!.verdict, "no difference shown");
  assert.equal(shown!.verdict, "Accuracy higher, ROC-AUC higher");
  assert.ok(shown!.tests.every(({ p, adjusted }) => adjusted >= 5 * p));
  const { value, low, high } = shown!.differences.roc_auc!;
  assert.ok(0 < low! && low! < value! && value! < high!);
  assert.deepEqual(itself!.tests.map(({ p }) => p), [1, 1]);
  assert.equal(compareTested(better, [base], 1)[0]!.verdict, "Accuracy lower, ROC-AUC lower");
});

Deno.test("compareTested() seldom shows a difference between runs that have none", () => {
  for (const options of [{ folds: 0 }, { folds: 0, slides: 5, images: 24 }, { folds: 5 }]) {
    let shown = 0;
    for (let i = 0; i < 40; i++) {
      if (compareOne(runsOf(`null ${i}`, [1, 1], options)).verdict !== "no difference shown") {
        shown++;
      }
    }
    assert.ok(shown <= 4, `${JSON.stringify(options)}: ${shown} of 40`); // P(more than 4) < 0.05
  }
});

Deno.test("compareTested() says why runs do not compare", () => {
  const [base, other] = runsOf("two", [1, 2], { slides: 5, images: 2 }) as [TestedRun, TestedRun];
  const [first, ...rest] = other.rows;
  const verdicts = compareTested(base, [
    { ...other, classes: ["yes", "no"] },
    { ...other, rows: rest },
    { ...other, rows: [{ ...first!, label: "?" }, ...rest] },
    { ...other, rows: other.rows.map(({ fold: _, ...row }) => row) },
    other,
  ], 1).map(({ verdict }) => verdict.replace("not comparable: ", ""));
  assert.deepEqual(verdicts.slice(0, 4), [
    "its classes are others",
    "its test images are others (9 images of 10 in both)",
    "1 image has another label in it",
    "10 images have another fold in it",
  ]);
  assert.doesNotMatch(verdicts[4]!, /images/);
});

Deno.test("compareTests() reads runs, takes the first usable one, and passes over none in silence", () =>
  inProjectCopy(async ({ root, load }) => {
    type Module = typeof import("../../lib/metrics/compare.ts");
    const { compareTests } = await load<Module>("lib/metrics/compare.ts");
    const config = parseConfig({ data: { classes } });
    const result = (run: string, name: string, lines: string[]) =>
      put(root, `results/${run}/${name}`, new TextEncoder().encode(`${lines.join("\n")}\n`));
    const paths = ["a", "b", "c", "d"];
    const labels = ["yes", "no", "yes", "no"];
    for (const run of ["damaged", "one", "<two>", "strange"]) {
      const columns = run === "<two>" ? ",fold" : ""; // written empty for a single split
      const ends = run === "<two>" ? "," : "";
      const images = run === "strange" ? [...paths.slice(1), "e"] : paths;
      await result(run, "predictions_test.csv", [
        `path,label,predicted,probability${columns}`,
        ...images.map((path, i) =>
          `${path},${labels[i]},yes,${run === "damaged" ? 2 : 0.9}${ends}`
        ),
      ]);
      await result(run, "split.csv", [
        "path,label,group,sha256,subset",
        ...paths.map((path, i) => `${path},${labels[i]},${path},${path},test`),
      ]);
    }
    const given = (run: string) => ({ run, config, test: run === "old" ? null : {} });
    const runs = ["damaged", "old", "one", "<two>", "strange"].map(given);
    const compared = await compareTests(runs);
    assert.equal(compared!.reference, "one");
    const { html, text } = comparisonTable(compared!);
    assert.match(
      text,
      /^<two>: no difference shown; ROC-AUC difference 0\.000; .*McNemar\) 1\.000/m,
    );
    assert.match(text, /^damaged: not comparable: results\/damaged\/pred.* "2" is no probability/m);
    assert.match(text, /^old: not comparable: it has no test scores of its present model/m);
    assert.match(text, /^strange: not comparable: e is not in its split\.csv/m);
    assert.match(html, /&lt;two&gt;/);
    assert.equal(await compareTests([given("one")]), null);
    assert.equal(await compareTests([given("old"), given("damaged")]), null);
  }));
