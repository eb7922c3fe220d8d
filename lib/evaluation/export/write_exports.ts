import { ConfigError } from "../../errors.ts";
import { besideEvaluation } from "../evaluation_files.ts";
import { evaluated } from "../write_evaluation.ts";
import type { Verdict } from "../tally.ts";
import { writeClassProbabilities } from "./class_probabilities.ts";
import { writeJsonLines } from "./json_lines.ts";
import { writeParquet } from "./parquet.ts";
import { writeQupath } from "./qupath.ts";
import type { SlidePlace } from "./sidecar.ts";

/** What `--format` can name; csv is always written. */
export const FORMATS = ["csv", "parquet", "jsonl", "timm"] as const;

/** A layout of the results. */
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

/** What was written beside the three files. */
export interface Exports {
  files: string[];
  /** Images that the sidecar has no place for; 0 without a sidecar. */
  withoutPlace: number;
}

/** What {@linkcode writeExports} writes. */
export interface ExportOptions {
  formats: readonly Format[];
  /** By name; `null`: no annotations are wanted. */
  places: ReadonlyMap<string, SlidePlace> | null;
  /** In the model's order. */
  classes: readonly string[];
}

/**
 * Writes the other layouts that are wanted, beside evaluation.csv.
 *
 * @param verdicts Begins anew each time it is called: once a file.
 */
export async function writeExports(
  evaluation: string,
  verdicts: () => AsyncIterable<Verdict>,
  { formats, places, classes }: ExportOptions,
): Promise<Exports> {
  const images = () => evaluated(verdicts());
  const files: string[] = [];
  const beside = (ending: string): string => {
    const path = besideEvaluation(evaluation, ending);
    files.push(path);
    return path;
  };
  if (formats.includes("jsonl")) await writeJsonLines(beside("_details.jsonl"), images());
  if (formats.includes("parquet")) await writeParquet(beside("_details.parquet"), images());
  if (formats.includes("timm")) {
    await writeClassProbabilities(beside("_probabilities.csv"), images(), classes);
  }
  if (places === null) return { files, withoutPlace: 0 };
  const fileOf = (slide: string) => besideEvaluation(evaluation, `${slideEnding(slide)}.geojson`);
  const annotations = await writeQupath(images(), places, classes, fileOf);
  return { files: [...files, ...annotations.files], withoutPlace: annotations.withoutPlace };
}

/** A slide's name in a file name: what is no letter, digit, dot, dash or underscore is written as %XX. */
function slideEnding(slide: string): string {
  if (slide === "") return "";
  const escape = (text: string) =>
    [...new TextEncoder().encode(text)]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("");
  return `_${slide.replace(/[^\p{L}\p{N}._-]/gu, escape)}`;
}
