import assert from "node:assert/strict";
import { join } from "node:path";
import { parseConfig } from "../../lib/config.ts";
import { sha256File } from "../../lib/files.ts";
import { inProjectCopy } from "../copy_project.ts";
import { picture, put } from "../data/test_images.ts";

type Scan = typeof import("../../lib/data/scan_run.ts");
type Split = typeof import("../../lib/split/split_run.ts");
type Verify = typeof import("../../lib/split/verify_run.ts");

const CLASSES = ["non", "sclerotic"];

Deno.test("verifyRun() finds nothing wrong with an honest run, and every tampering with it", () =>
  inProjectCopy(async ({ root, load }) => {
    const { scanRun } = await load<Scan>("lib/data/scan_run.ts");
    const { splitRun } = await load<Split>("lib/split/split_run.ts");
    const { verifyRun } = await load<Verify>("lib/split/verify_run.ts");
    const image = (i: number) => `data/${CLASSES[i % 2]}/S${i % 8}_${i}.png`;
    for (let i = 0; i < 24; i++) await put(root, image(i), await picture(i).png().toBuffer());
    // A near-duplicate, in another position and on another slide.
    await put(root, "data/non/S1_copy.png", await picture(0).flop().png().toBuffer());
    const config = parseConfig({
      data: { classes: CLASSES, groupPattern: "(S\\d)_" },
      split: { train: 0.5, validation: 0.25, test: 0.25 },
    });
    const results = join(root, "results/default");
    await put(root, "results/default/config.json", JSON.stringify(config));
    const { findings } = await scanRun(config);
    assert.ok(findings.some(({ finding }) => finding === "near_duplicate"));
    await splitRun(config);

    const honest = await verifyRun("default");
    assert.deepEqual([honest.problems, honest.unchecked], [[], []]);
    assert.match(honest.checked.join("\n"), /made again from seed 42[\s\S]*25 images, read anew/);

    const edit = (file: string, change: (text: string) => string) => async () => {
      const text = await Deno.readTextFile(join(results, file));
      const after = change(text);
      assert.notEqual(after, text, `${file} was changed`);
      await Deno.writeTextFile(join(results, file), after);
    };
    const swapSlides = (text: string) =>
      // two whole slides of equal kind change places
      text.replace(/^(.*,)(train|validation|test)$/gm, (line, start: string, subset: string) =>
        /\/S7_/.test(line) && subset !== "test"
          ? `${start}test`
          : /\/S7_/.test(line)
          ? `${start}train`
          : line);
    const tamperings: [string, () => Promise<unknown>, RegExp][] = [
      ["a slide moved", edit("split.csv", swapSlides), /split_sha256|is in/],
      [
        "a slide moved, the certificate made to agree",
        async () => {
          await edit("split.csv", swapSlides)();
          const hash = await sha256File(join(results, "split.csv"));
          await edit(
            "split_certificate.json",
            (text) => text.replace(/("split_sha256": ")\w+/, `$1${hash}`),
          )();
        },
        /the seed puts it into/,
      ],
      ["a row deleted", edit("split.csv", (text) => text.replace(/\n.*S3_3.*\n/, "\n")), /split/],
      ["a row renamed", edit("split.csv", (text) => text.replace("S3_3", "S3_99")), /split/],
      ["line ends", edit("split.csv", (text) => text.replaceAll("\n", "\r\n")), /byte for byte/],
      [
        "another seed",
        edit("split_certificate.json", (text) => text.replace('"seed": 42', '"seed": 43')),
        /the seed puts it into/,
      ],
      [
        "a crossing admitted",
        edit(
          "split_certificate.json",
          (text) => text.replace('"groups_crossing": []', '"groups_crossing": ["S1"]'),
        ),
        /groups_crossing/,
      ],
      [
        "an unknown field",
        edit("split_certificate.json", (text) => text.replace("{", '{ "approved": true,')),
        /approved/,
      ],
      [
        "near-duplicates hidden",
        edit("audit.csv", (text) => text.replace(/\n.*near_duplicate.*\n/, "\n")),
        /near_duplicate/,
      ],
      [
        "a picture replaced",
        async () => await put(root, image(5), await picture(500).png().toBuffer()),
        /"sclerotic\/S5_5\.png" has changed since notebook 02/,
      ],
      ["a picture removed", () => Deno.remove(join(root, image(6))), /S6_6\.png" is gone/],
      [
        "a picture added",
        async () => await put(root, "data/non/S2_x.png", await picture(600).png().toBuffer()),
        /S2_x\.png" is new/,
      ],
      [
        "a model of another split",
        () =>
          put(
            root,
            "model/default/model_card.json",
            JSON.stringify({ data: { manifestSha256: "0", splitSha256: "0" } }),
          ),
        /trained on another split/,
      ],
    ];
    const kept = new Map<string, Uint8Array>();
    for (const folder of ["results/default", "data/non", "data/sclerotic"]) {
      for await (const { name, isFile } of Deno.readDir(join(root, folder))) {
        if (isFile) {
          kept.set(`${folder}/${name}`, await Deno.readFile(join(root, folder, name)));
        }
      }
    }
    for (const [what, tamper, pattern] of tamperings) {
      await tamper();
      const found = await verifyRun("default").then(
        ({ problems }) => problems.join("\n"),
        (error: Error) => {
          assert.equal(error.name, "DataError", `${error.stack}`);
          return error.message;
        },
      );
      assert.match(found, pattern, what);
      for (const folder of ["data/non", "data/sclerotic", "model"]) {
        await Deno.remove(join(root, folder), { recursive: true }).catch(() => {});
      }
      for (const [path, bytes] of kept) await put(root, path, bytes);
    }
    assert.deepEqual((await verifyRun("default")).problems, []);

    await Deno.rename(join(root, "data"), join(root, "elsewhere"));
    const remote = await verifyRun("default");
    assert.deepEqual(remote.problems, []);
    assert.match(remote.unchecked.join(), /the images: "data" is not there/);
  }));
