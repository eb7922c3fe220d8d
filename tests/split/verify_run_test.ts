import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/core/config.ts";
import { sha256File } from "../../lib/core/files.ts";
import type { ConfigInput } from "../../lib/core/settings.ts";
import { type ManifestRow, readManifest, writeManifest } from "../../lib/run/manifest.ts";
import { inProjectCopy, ofConfig, type ProjectCopy } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";

type Scan = typeof import("../../lib/data/scan.ts");

type Split = typeof import("../../lib/split/split.ts");

type Verify = typeof import("../../lib/split/verify.ts");

type Replacement = string | ((...found: string[]) => string);

const CLASSES = ["non", "sclerotic"];

const OTHER_CARD = JSON.stringify({ data: { manifestSha256: "0", splitSha256: "0" } });

const image = (i: number) => `data/${CLASSES[i % 2]}/S${i % 8}_${i}.png`;

/** A project with 25 images of 8 slides and a run whose files can be tampered with. */
async function runIn({ root, load }: ProjectCopy) {
  const scanRun = await ofConfig<Scan["scanRun"]>({ load }, "lib/data/scan.ts", "scanRun");
  const splitRun = await ofConfig<Split["splitRun"]>({ load }, "lib/split/split.ts", "splitRun");
  const { verifyRun } = await load<Verify>("lib/split/verify.ts");
  for (let i = 0; i < 24; i++) await put(root, image(i), await picture(i).png().toBuffer());
  // a near-duplicate of image 0, in another position and on another slide
  await put(root, "data/non/S1_copy.png", await picture(0).flop().png().toBuffer());
  let config = parseConfig({});
  return {
    root,
    /** Notebooks 02 and 03 with this config. */
    make: async (input: ConfigInput = {}) => {
      config = parseConfig({
        data: { classes: CLASSES, groupPattern: "(S\\d)_" },
        split: { train: 0.5, validation: 0.25, test: 0.25 },
        ...input,
      });
      await put(root, "results/default/config.json", JSON.stringify(config));
      await scanRun(config);
      await splitRun(config);
    },
    /** Notebook 03 alone, from whatever lies in results/. */
    split: () => splitRun(config),
    verify: () => verifyRun("default"),
    /** Changes a text file of the run. */
    edit: async (file: string, from: string | RegExp, to: Replacement) => {
      const path = join(root, "results/default", file);
      const text = await Deno.readTextFile(path);
      const changed = text.replace(from, to as string);
      assert.notEqual(changed, text, `${file} was changed`);
      await Deno.writeTextFile(path, changed);
    },
  };
}

const withRun = (test: (run: Awaited<ReturnType<typeof runIn>>) => Promise<void>) =>
  inProjectCopy(async (copy) => test(await runIn(copy)));

/** The subsets of two slides exchanged, so that nothing crosses. */
function swapSlides(csv: string): string {
  const subsetOf = (slide: string) => new RegExp(`/${slide}_.*,(\\w+)$`, "m").exec(csv)![1]!;
  const slides = ["S2", "S3", "S4", "S5", "S6", "S7"];
  const a = slides[0]!;
  const b = slides.find((slide) => subsetOf(slide) !== subsetOf(a))!;
  const [toA, toB] = [subsetOf(b), subsetOf(a)];
  return csv.replace(
    /^(.*,)(\w+)$/gm,
    (line, start: string) =>
      line.includes(`/${a}_`) ? start + toA : line.includes(`/${b}_`) ? start + toB : line,
  );
}

Deno.test("verifyRun() finds nothing wrong with an honest run, and every tampering with it", (t) =>
  withRun(async ({ root, make, split, verify, edit }) => {
    await make();
    const honest = await verify();
    assert.deepEqual([honest.problems, honest.unchecked], [[], []]);
    assert.match(honest.checked.join("\n"), /made again from seed 42\n25 images/);

    const results = join(root, "results/default");
    const editManifest = async (change: (rows: ManifestRow[]) => void) => {
      const path = join(results, "manifest.parquet");
      const rows = await readManifest(path);
      change(rows);
      await writeManifest(path, rows);
    };
    const editor = (file: string) => (from: string | RegExp, to: Replacement) => () =>
      edit(file, from, to);
    const [csv, audit] = [editor("split.csv"), editor("audit.csv")];
    const [certificate, config] = [editor("split_certificate.json"), editor("config.json")];
    const swap = csv(/^[^]+$/, swapSlides);
    const hide = audit(/\n.*near_duplicate.*\n/, "\n");
    const tamperings: Record<string, [() => Promise<unknown>, ...RegExp[]]> = {
      "slides moved in split.csv": [
        swap,
        /not, byte for byte, the file that was certified/,
        /certificate's split_sha256/,
        /"non\/S2_2\.png" is in \w+; the seed puts it into/,
      ],
      "slides moved, and the certificate made to agree": [
        async () => {
          await swap();
          const hash = await sha256File(join(results, "split.csv"));
          await certificate(/("split_sha256": ")\w+/, `$1${hash}`)();
        },
        /the seed puts it into/,
      ],
      "one image moved away from its slide": [
        csv(
          /^(non\/S2_2\.png.*,)(\w+)$/m,
          (_, path, own) => path + (own === "test" ? "train" : "test"),
        ),
        /leaks between its subsets, 1 time:\n {2}- the group S2 is in/,
      ],
      "a row deleted": [csv(/\n.*S3_3.*\n/, "\n"), /S3_3.* is in the manifest alone/],
      "a row renamed": [
        csv("S3_3", "S3_99"),
        /S3_3\.png.* is in the manifest alone[^]*S3_99.* is in the split alone/,
      ],
      "the line ends of split.csv": [csv(/\n/g, "\r\n"), /not, byte for byte/],
      "a group renamed in the manifest": [
        () => editManifest((rows) => rows[5]!.group = "S77"),
        /certificate's manifest_sha256|is in the manifest alone/,
        /differs in group/,
      ],
      "a slide cut in two in the manifest, and the split made anew from it": [
        async () => {
          await editManifest((rows) => {
            const [, ...others] = rows.filter(({ group }) => group === "S2");
            for (const row of others) row.group = "S2b";
          });
          await split();
        },
        /manifest\.parquet is not what the images give:\n {2}- "non\/S2_\d+\.png" differs in group/,
      ],
      "near-duplicates hidden in audit.csv": [
        hide,
        /certificate's near_duplicate_pairs \(1\) is not what the files give/,
        /audit\.csv is not what the images give:\n {2}- it lacks: near_duplicate/,
      ],
      "near-duplicates hidden, and the split made anew without them": [
        () => hide().then(split),
        /it lacks: near_duplicate "non\/S1_copy\.png"/,
      ],
      "a finding invented": [
        audit(/$/, "non/S2_2.png,blurred,very,\n"),
        /it has, but should not: blurred "non\/S2_2\.png" very/,
      ],
      "another seed in the certificate": [
        certificate('"seed": 42', '"seed": 43'),
        /config\.json asks for seed 42 and/,
        /the seed puts it into/,
      ],
      "another seed in config.json": [
        config('"seed":42', '"seed":43'),
        /config\.json asks for seed 43 and.* the certificate is of seed 42 and/,
      ],
      "the pattern of the groups changed in config.json": [
        config('"(S\\\\d)_"', '"(S[1-3])?"'),
        /finds no group in \d+ of 25 image paths|differs in group/,
      ],
      "a crossing admitted": [
        certificate('_crossing": []', '_crossing": ["S1"]'),
        /groups_crossing \(\["S1"\]\) is not/,
      ],
      "counts polished": [certificate(/("non": )\d+/, "$1999"), /certificate's counts/],
      "an unknown field": [certificate("{", '{ "approved": true,'), /approved \(true\)/],
      "a made split called given": [
        certificate('"made"', '"given"'),
        /certificate's seed/,
        /the certificate is of a given split/,
      ],
      "a picture replaced": [
        async () => put(root, image(5), await picture(500).png().toBuffer()),
        /"sclerotic\/S5_5\.png" differs in sha256, dhash/,
      ],
      "one byte added to a picture": [
        () => Deno.writeFile(join(root, image(4)), Uint8Array.of(0), { append: true }),
        /"non\/S4_4\.png" differs in sha256$/m,
      ],
      "a picture removed": [() => Deno.remove(join(root, image(6))), /S6_6\.png" is gone/],
      "a picture added": [
        async () => put(root, "data/non/S2_x.png", await picture(600).png().toBuffer()),
        /S2_x\.png" is new/,
      ],
      "a label changed by labels.csv": [
        () => put(root, "data/labels.csv", "path,label\nnon/S2_2.png,sclerotic\n"),
        /"non\/S2_2\.png" differs in label/,
      ],
      "a model of another split": [
        () => put(root, "model/default/model_card.json", OTHER_CARD),
        /trained on another split/,
        /trained on other images/,
      ],
    };
    const kept = await readAll(root, ["results/default", "data/non", "data/sclerotic"]);
    for (const [what, [tamper, ...patterns]] of Object.entries(tamperings)) {
      await t.step(what, async () => {
        await tamper();
        const found = (await verify()).problems.join("\n");
        for (const pattern of patterns) assert.match(found, pattern);
      });
      for (const folder of ["data", "model", "results/default"]) {
        await Deno.remove(join(root, folder), { recursive: true }).catch(() => {});
      }
      for (const [path, bytes] of kept) await put(root, path, bytes);
    }
    assert.deepEqual((await verify()).problems, []);
  }));

Deno.test("verifyRun() verifies a given split, and says what it cannot check", () =>
  withRun(async ({ root, make, verify, edit }) => {
    const subsets = ["train", "train", "test", "test", "train", "train", "val", "val"];
    const rows = Array.from({ length: 24 }, (_, i) => `${image(i).slice(5)},${subsets[i % 8]}`);
    const mine = (copy: string) => `path,subset\n${rows.join("\n")}\nnon/S1_copy.png,${copy}\n`;
    const input: ConfigInput = { split: { file: "mine.csv" } };
    await put(root, "mine.csv", mine("train"));
    await make(input);
    const honest = await verify();
    assert.deepEqual([honest.problems, honest.unchecked], [[], []]);
    assert.match(honest.checked.join("\n"), /read again from "mine\.csv"\n25 images/);

    await edit("split.csv", /^[^]+$/, swapSlides);
    assert.match(
      (await verify()).problems.join("\n"),
      /S2_2\.png" is in \w+; its file puts it into/,
    );
    await make(input);
    await edit("split_certificate.json", '"given"', '"made"');
    await assert.rejects(verify(), /certificate is damaged/);

    await make(input);
    await Deno.remove(join(root, "mine.csv"));
    await Deno.rename(join(root, "data"), join(root, "elsewhere"));
    const remote = await verify();
    assert.deepEqual(remote.problems, []);
    assert.match(remote.unchecked.join("\n"), /brought it is not there\nthe images: "data" is not/);
    await Deno.rename(join(root, "elsewhere"), join(root, "data"));

    // S0 and S1 are in training, and show the same
    await put(root, "mine.csv", mine("test"));
    const leak =
      /S1 is in test and train[^]*near-duplicates: "non\/S1_copy\.png" is in test, "non\/S0_0/;
    await assert.rejects(make(input), leak);
    await assert.rejects(make(input), /Correct your split file/);
  }));

Deno.test("verifyRun() names a run that is not there, and a file that is damaged", () =>
  withRun(async ({ root, make, verify }) => {
    await assert.rejects(verify(), /config\.json is not there[^]*Check the name of the run/);
    await make();
    for (const file of ["audit.csv", "split.csv", "split_certificate.json", "manifest.parquet"]) {
      const path = join(root, "results/default", file);
      const bytes = await Deno.readFile(path);
      await Deno.writeTextFile(path, "damaged");
      await assert.rejects(verify(), { name: "DataError" }, file);
      await Deno.writeFile(path, bytes);
    }
    assert.deepEqual((await verify()).problems, []);
  }));

async function readAll(root: string, folders: readonly string[]): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const folder of folders) {
    for await (const { name, isFile } of Deno.readDir(join(root, folder))) {
      if (isFile) files.set(`${folder}/${name}`, await Deno.readFile(join(root, folder, name)));
    }
  }
  return files;
}
