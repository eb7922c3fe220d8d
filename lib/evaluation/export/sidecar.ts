import { readCsv } from "../../csv.ts";
import { DataError } from "../../errors.ts";

/** Where a crop was cut out of its slide, in pixels of the slide at full resolution. */
export interface SlidePlace {
  /** The slide; empty where the sidecar does not say. */
  slide: string;
  /** Of the left edge. */
  x: number;
  /** Of the upper edge. */
  y: number;
  width: number;
  height: number;
}

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
