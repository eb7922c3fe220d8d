import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import pl from "nodejs-polars";
import { readCsv } from "../../lib/core/csv.ts";
import { DataError } from "../../lib/core/errors.ts";
import { DETAILS_COLUMNS, type EvaluatedImage } from "../../lib/evaluation/answers.ts";
import {
  readSidecar,
  writeClassProbabilities,
  writeExports,
  writeParquet,
} from "../../lib/evaluation/export.ts";
import { inFolder, put } from "../data/test_images.ts";

const NAMES = [
  "a/=1+1.png",
  'b "quoted", line\nbreak\r.png',
  "'apostrophe.png",
  "é😀<script>.png",
  "last.png",
];

/** Classified images with hostile names; certain ones too, whose probabilities are whole numbers. */
const IMAGES: EvaluatedImage[] = NAMES.map((name, i) => ({
  name,
  predicted: i < 2 ? "non" : "=sclerotic",
  probability: i / 4,
  confidence: Math.max(i / 4, 1 - i / 4),
  decision: i % 2 ? "accept" : "review",
  group: i % 2 ? "" : "07",
  flags: "",
  probability_uncorrected: i / 4,
  wasPositive: i >= 2,
  probabilities: [1 - i / 4, i / 4],
}));

const CLASSES = ["non", "=sclerotic"];

async function* stream<T>(items: readonly T[]): AsyncGenerator<T, void, void> {
  for (const item of items) yield await Promise.resolve(item);
}

const details = (image: EvaluatedImage) =>
  Object.fromEntries(DETAILS_COLUMNS.map((column) => [column, image[column]]));

Deno.test("writeExports() writes the details as Parquet and JSON Lines, every name as it is on disk", () =>
  inFolder(async (folder) => {
    const out = join(folder, "evaluation.csv");
    const verdicts = () => stream([...IMAGES, { name: "bad.png", error: "damaged" }]);
    const options = { classes: CLASSES, places: null };
    const { files } = await writeExports(out, verdicts, {
      ...options,
      formats: ["csv", "jsonl", "parquet", "timm"],
    });
    const [lines, parquet, timm] = ["_details.jsonl", "_details.parquet", "_probabilities.csv"]
      .map((ending) => join(folder, `evaluation${ending}`)) as [string, string, string];
    assert.deepEqual(files, [lines, parquet, timm]);
    const expected = IMAGES.map(details);
    const text = await Deno.readTextFile(lines);
    assert.deepEqual(text.trimEnd().split("\n").map((line) => JSON.parse(line)), expected);
    const table = pl.readParquet(await readFile(parquet));
    assert.deepEqual(table.columns, [...DETAILS_COLUMNS]);
    assert.deepEqual(table.toRecords(), expected);
    assert.deepEqual(
      await readCsv(timm, ["filename"], ""),
      IMAGES.map(({ name, probabilities: [non, sclerotic] }) => ({
        filename: name,
        non: String(non),
        "'=sclerotic": String(sclerotic), // a column's name is made inert as well
      })),
    );
    const left = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
    assert.deepEqual(left, files.map((path) => path.slice(folder.length + 1)).sort());
    assert.deepEqual(
      (await writeExports(out, verdicts, { ...options, formats: ["csv"] })).files,
      [],
    );
  }));

Deno.test("writeParquet() writes its columns where there is no row", () =>
  inFolder(async (folder) => {
    const path = join(folder, "a.parquet");
    await writeParquet(path, stream<EvaluatedImage>([]));
    const table = pl.readParquet(await readFile(path));
    assert.deepEqual([table.height, table.columns], [0, [...DETAILS_COLUMNS]]);
  }));

Deno.test("writeClassProbabilities() keeps names apart from a class of that name", () =>
  inFolder(async (folder) => {
    const path = join(folder, "a.csv");
    await writeClassProbabilities(path, stream(IMAGES.slice(4)), ["filename", "__proto__"]);
    const text = await Deno.readTextFile(path);
    assert.equal(text, "filename,class filename,__proto__\nlast.png,0,1\n");
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
      classes: CLASSES,
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
