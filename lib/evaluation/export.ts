import { basename, dirname, join } from "node:path";
import pl from "nodejs-polars";
import { readCsv } from "../core/csv.ts";
import { ConfigError, DataError } from "../core/errors.ts";
import { writeAll, writeAtomic, writeAtomicWith } from "../core/files.ts";
import {
  besideEvaluation,
  DETAILS_COLUMNS,
  type DetailsRow,
  type ErrorRow,
} from "../run/evaluation_files.ts";

const FORMATS = ["csv", "parquet"] as const;

/** What `--format` can name; CSV is always written. */
export type Format = (typeof FORMATS)[number];

/**
 * Reads "csv,parquet".
 *
 * @throws {ConfigError} For an unknown format.
 */
export function parseFormats(text: string): Format[] {
  return [...new Set(text.split(","))].map((name) => {
    const format = FORMATS.find((format) => format === name.trim());
    if (format) return format;
    throw new ConfigError(
      `--format ${text}: there is no format ${JSON.stringify(name)}.`,
      `Name some of ${FORMATS.join(", ")}, separated by commas.`,
    );
  });
}

/** What was written beside the CSVs. */
export interface Exports {
  files: string[];
  /** Images that the sidecar has no place for; 0 without a sidecar. */
  withoutPlace: number;
}

/**
 * Writes the other formats that are wanted, beside evaluation.csv.
 *
 * @param outcomes Begins anew each time it is called: once a file.
 * @param options.places By name; `null`: no annotations are wanted.
 * @param options.classes In the model's order.
 */
export async function writeExports(
  evaluation: string,
  outcomes: () => AsyncIterable<DetailsRow | ErrorRow>,
  { formats, places, classes }: {
    formats: readonly Format[];
    places: ReadonlyMap<string, SlidePlace> | null;
    classes: readonly string[];
  },
): Promise<Exports> {
  const files: string[] = [];
  if (formats.includes("parquet")) {
    const path = besideEvaluation(evaluation, "_details.parquet");
    await writeParquet(path, outcomes());
    files.push(path);
  }
  if (places === null) return { files, withoutPlace: 0 };
  const features = new Map<string, string[]>(); // by slide
  let withoutPlace = 0;
  for await (const image of outcomes()) {
    if ("error" in image) continue;
    const place = places.get(image.name);
    if (place) {
      const ofSlide = features.get(place.slide) ?? [];
      features.set(place.slide, ofSlide);
      ofSlide.push(JSON.stringify(qupathFeature(image, place, classes)));
    } else withoutPlace += 1;
  }
  for (const [slide, ofSlide] of features) {
    // in a file name, what is no letter, digit, dot, dash or underscore becomes %XX
    const name = slide.replace(/[^\p{L}\p{N}._-]/gu, (text) =>
      [...new TextEncoder().encode(text)]
        .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""));
    const path = besideEvaluation(evaluation, `${slide && `_${name}`}.geojson`);
    const list = ofSlide.join(",\n");
    await writeAtomic(path, `{"type":"FeatureCollection","features":[\n${list}\n]}\n`);
    files.push(path);
  }
  return { files, withoutPlace };
}

/** Of classes in QuPath: colours that colour-blind people tell apart (Okabe and Ito), red to blue. */
const COLOURS = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0]];

/** A rectangle that QuPath 0.4 or later reads; a file a slide, since it imports into the open one. */
function qupathFeature(
  { name, predicted, probability, confidence, decision }: DetailsRow,
  { x, y, width, height }: SlidePlace,
  classes: readonly string[],
): object {
  const [right, bottom] = [x + width, y + height];
  const coordinates = [[[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]];
  const color = COLOURS[classes.indexOf(predicted) % COLOURS.length];
  return {
    type: "Feature",
    geometry: { type: "Polygon", coordinates },
    properties: {
      objectType: "annotation",
      name,
      classification: { name: predicted, color },
      measurements: { probability, confidence },
      metadata: { decision },
    },
  };
}

/**
 * Where a crop was cut out of its slide: left and upper edge and size, in pixels of the slide at full
 * resolution. `slide`: empty where the sidecar does not say.
 */
export type SlidePlace = Record<"x" | "y" | "width" | "height", number> & { slide: string };

const REMEDY = "A sidecar is a CSV with the columns name,x,y,width,height and, where the crops " +
  "come from several slides, slide; name is a path as in evaluation.csv, the others are pixels.";

/**
 * Reads where crops were cut out, by their names. Memory grows with the file: about 1 kB a row.
 *
 * @throws {DataError} When it is missing or malformed, a number is none, or a name is there twice.
 */
export async function readSidecar(path: string): Promise<Map<string, SlidePlace>> {
  const places = new Map<string, SlidePlace>();
  const rows = await readCsv(path, ["name", "x", "y", "width", "height"], REMEDY);
  for (const [index, row] of rows.entries()) {
    const line = `${path}, row ${index + 1} (${JSON.stringify(row.name)})`;
    const [x, y, width, height] = [row.x, row.y, row.width, row.height].map((cell) =>
      cell.trim() === "" ? NaN : Number(cell)
    ) as [number, number, number, number];
    if (![x, y, width, height].every(Number.isFinite) || width <= 0 || height <= 0) {
      throw new DataError(`${line} gives no rectangle.`, REMEDY);
    }
    if (places.has(row.name)) throw new DataError(`${line} is there twice.`, REMEDY);
    const { slide = "" } = row as { slide?: string };
    places.set(row.name, { slide, x, y, width, height });
  }
  return places;
}

const SCHEMA = Object.fromEntries(
  DETAILS_COLUMNS.map((name) => [name, /^(prob|conf|spread)/.test(name) ? pl.Float64 : pl.Utf8]),
);

const PIECE = 1 << 18;

/**
 * Writes the columns of evaluation_details.csv as Parquet, atomically, with names as they are on disk.
 * Polars streams them from temporary JSON Lines: memory is about 0.2 GB for a million images.
 */
async function writeParquet(
  path: string,
  outcomes: AsyncIterable<DetailsRow | ErrorRow>,
): Promise<void> {
  const stem = join(dirname(path), `.${basename(path)}.${Deno.pid}`);
  const [lines, temporary] = [`${stem}.jsonl`, `${stem}.tmp`];
  const encoder = new TextEncoder();
  try {
    await writeAtomicWith(lines, async (file) => {
      let waiting = "";
      for await (const image of outcomes) {
        if ("error" in image) continue;
        waiting += JSON.stringify(image, [...DETAILS_COLUMNS]) + "\n";
        if (waiting.length < PIECE) continue;
        await writeAll(file, encoder.encode(waiting));
        waiting = "";
      }
      await writeAll(file, encoder.encode(waiting));
    });
    if ((await Deno.stat(lines)).size === 0) {
      pl.DataFrame(DETAILS_COLUMNS.map((name) => pl.Series(name, [], SCHEMA[name])))
        .writeParquet(temporary);
    } else {
      await pl.scanJson(lines, { schema: SCHEMA }).sinkParquet(temporary).collect();
    }
    {
      using file = await Deno.open(temporary, { write: true });
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } finally {
    for (const left of [lines, temporary]) await Deno.remove(left).catch(() => {});
  }
}
