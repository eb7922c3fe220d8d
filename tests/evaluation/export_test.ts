import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pl from "nodejs-polars";
import { DataError } from "../../lib/core/errors.ts";

import { readSidecar, writeExports } from "../../lib/evaluation/export.ts";
import { DETAILS_COLUMNS, type DetailsRow } from "../../lib/run/evaluation_files.ts";
import { inFolder, put } from "../data/test_images.ts";

const NAMES = [
  "a/=1+1.png",
  'b "quoted", line\nbreak\r.png',
  "'apostrophe.png",
  "é😀<script>.png",
  "last.png",
];

/** Classified images with hostile names; certain ones too, whose probabilities are whole numbers. */
const IMAGES: DetailsRow[] = NAMES.map((name, i) => ({
  name,
  predicted: i < 2 ? "non" : "=sclerotic",
  probability: i / 4,
  confidence: Math.max(i / 4, 1 - i / 4),
  decision: i % 2 ? "accept" : "review",
  group: i % 2 ? "" : "07",
  flags: "",
  probability_uncorrected: i / 4,
}));

const SLIDE_CLASSES = ["non", "=sclerotic"];

async function* stream<T>(items: readonly T[]): AsyncGenerator<T, void, void> {
  for (const item of items) yield await Promise.resolve(item);
}

const details = (image: DetailsRow) =>
  Object.fromEntries(DETAILS_COLUMNS.map((column) => [column, image[column]]));

Deno.test("writeExports() writes the details as Parquet, every name as it is on disk, or no row", () =>
  inFolder(async (folder) => {
    const out = join(folder, "evaluation.csv");
    const parquet = join(folder, "evaluation_details.parquet");
    const options = { classes: SLIDE_CLASSES, places: null };
    for (const images of [IMAGES, []]) {
      const verdicts = () => stream([...images, { name: "bad.png", error: "damaged" }]);
      const { files } = await writeExports(out, verdicts, {
        ...options,
        formats: ["csv", "parquet"],
      });
      assert.deepEqual(files, [parquet]);
      const table = pl.readParquet(await readFile(parquet));
      assert.deepEqual(table.columns, [...DETAILS_COLUMNS]);
      assert.deepEqual(table.toRecords(), images.map(details));
      const left = await Array.fromAsync(Deno.readDir(folder));
      assert.deepEqual(left.map(({ name }) => name), ["evaluation_details.parquet"]);
    }
    const csv = { ...options, formats: ["csv"] as const };
    assert.deepEqual((await writeExports(out, () => stream(IMAGES), csv)).files, []);
  }));

Deno.test("writeExports() writes the crops as QuPath's annotations, a file a slide", () =>
  inFolder(async (folder) => {
    await put(
      folder,
      "sidecar.csv",
      "name;x;y;width;height;slide\n" + // as Excel writes it in many countries
        "last.png;100;200;30;40;S 1/2\n" +
        "''apostrophe.png;-5;0.5;10;20;S 1/2\n" +
        "a/=1+1.png;1;2;3;4;\n" +
        "not evaluated.png;1;2;3;4;S3\n",
    );
    const places = await readSidecar(join(folder, "sidecar.csv"));
    const result = await writeExports(join(folder, "evaluation.csv"), () => stream(IMAGES), {
      formats: [],
      places,
      classes: SLIDE_CLASSES,
    });
    assert.equal(result.withoutPlace, 2);
    const files = ["evaluation.geojson", "evaluation_S%201%2F2.geojson"];
    assert.deepEqual(result.files.sort(), files.map((name) => join(folder, name)));
    const [none, slide] = await Promise.all(
      files.map(async (name) => JSON.parse(await Deno.readTextFile(join(folder, name)))),
    );
    assert.deepEqual(
      none.features.map((f: { properties: { name: string } }) => f.properties.name),
      [
        "a/=1+1.png",
      ],
    );
    assert.equal(slide.type, "FeatureCollection");
    assert.equal(slide.features.length, 2);
    assert.deepEqual(slide.features[1], {
      type: "Feature",
      geometry: {
        type: "Polygon",
        coordinates: [[[100, 200], [130, 200], [130, 240], [100, 240], [100, 200]]],
      },
      properties: {
        objectType: "annotation",
        name: "last.png",
        classification: { name: "=sclerotic", color: [213, 94, 0] },
        measurements: { probability: 1, confidence: 1 },
        metadata: { decision: "review" },
      },
    });
  }));

Deno.test("readSidecar() refuses what is no rectangle, and a name that is there twice", () =>
  inFolder(async (folder) => {
    const path = join(folder, "sidecar.csv");
    const refused = async (text: string, message: RegExp) => {
      await Deno.writeTextFile(path, text);
      await assert.rejects(readSidecar(path), (error: unknown) => {
        assert(error instanceof DataError, String(error));
        assert.match(error.message, message);
        return true;
      });
    };
    const header = "name,x,y,width,height\n";
    await refused("name,x,y,width\na,1,1,1\n", /lacks the column\(s\) height/);
    for (const cells of ["1,2,0,4", "1,2,3,-4", "1,,3,4", "a,2,3,4", "1,2,Infinity,4"]) {
      await refused(`${header}ok,1,2,3,4\nb,${cells}\n`, /row 2 \("b"\) gives no rectangle/);
    }
    await refused(`${header}a,1,2,3,4\na,1,2,3,4\n`, /row 2 \("a"\) is there twice/);
  }));
