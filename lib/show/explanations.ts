import * as Plot from "@observablehq/plot";
import { range } from "d3-array";
import { basename } from "node:path";
import { images } from "../core/words.ts";
import type { ExplainedReview } from "../evaluation/tally.ts";
import type { ExplainedImage, ExplainedPrediction } from "../metrics/explain.ts";
import { type HeatMap, resizeMap } from "../metrics/grad_cam.ts";
import type { ExampleGroup } from "../metrics/test.ts";
import type { Predictions } from "../run/predictions.ts";
import {
  card,
  type ChartOptions,
  classLabel,
  colors,
  contentWidth,
  type Figure,
  GAP,
  halfWidth,
  type Panel,
  quoted,
  shorten,
} from "./card.ts";
import { escapeHtml, printable } from "./display.ts";
import { inRows, jpegSource } from "./pictures.ts";

/**
 * A group of test images, each beside itself with the evidence for the model's prediction laid over
 * it: what is bright spoke for the prediction. Pictures are as the model saw them.
 *
 * @param predictions That the group was chosen from.
 * @param group From `explainRun`.
 */
export async function explanationGrid(
  { run, classes }: Pick<Predictions, "run" | "classes">,
  { kind, label, examples, of }: ExampleGroup<ExplainedPrediction>,
  options: ChartOptions = {},
): Promise<Figure> {
  const tiles = examples.map(({ path, image, ...prediction }): Tile => ({
    image,
    lines: [
      basename(path),
      `labelled ${classLabel(prediction.label)}`,
      predictedLine(prediction, image, quoted(image.explained)),
    ],
  }));
  const head = {
    title: {
      mistakes: "Why: the most confident mistakes",
      uncertain: "Why: the least certain of the others",
      typical: `Why: typical ${quoted(label ?? "")}, classified rightly`,
    }[kind],
    subtitle: `Run ${run} · ${examples.length} of n = ${images(of)}`,
  };
  const noun = kind === "mistakes" ? "mistake" : "such image";
  const none = `There is no ${noun} among the test images.`;
  return await tilesCard(head, tiles, none, classes.at(-1)!, options);
}

/**
 * The images that need a person's look most, each beside itself with the evidence for the model's
 * prediction laid over it, and with its flags. Pictures are as the model saw them.
 *
 * @param examples From `explainReview`, in the order of the queue.
 * @param about `positive`: folder name of the class whose probability is given. `of`: how many
 * images are to be reviewed.
 */
export async function reviewGrid(
  examples: readonly ExplainedReview[],
  { run, positive, of }: { run: string; positive: string; of: number },
  options: ChartOptions = {},
): Promise<Figure> {
  const tiles = examples.map(({ name, flags, image, ...prediction }): Tile => ({
    image,
    lines: [
      name,
      predictedLine(prediction, image, "it"),
      flags.map((flag) => flag.replaceAll("_", " ")).join(", ") || "uncertain",
    ],
  }));
  const head = {
    title: "To be looked at first",
    subtitle: `Run ${run} · ${examples.length} of n = ${images(of)} to be reviewed`,
  };
  return await tilesCard(head, tiles, "No image needs a review.", positive, options);
}

/** A picture, its map, and lines of text, of which the first one is bold. */
interface Tile {
  image: Pick<ExplainedImage, "path" | "pixels" | "size" | "map">;
  lines: readonly string[];
}

function predictedLine(
  { predicted, probability }: { predicted: string; probability: number },
  { map }: Tile["image"],
  explained: string,
): string {
  return `predicted ${classLabel(predicted)}, p = ${probability.toFixed(3)}` +
    (map.isZero ? ` · no evidence for ${explained} found` : "");
}

/** Tiles in rows of two below a scale of their colours; `none` is said where there are no tiles. */
async function tilesCard(
  head: { title: string; subtitle: string },
  tiles: readonly Tile[],
  none: string,
  positive: string,
  options: ChartOptions,
): Promise<Figure> {
  if (tiles.length === 0) return card({ ...head, note: none }, options);
  const panels = await Promise.all(tiles.map((tile) => tilePanel(tile, halfWidth(options))));
  return card({
    ...head,
    rows: [[colourBar(contentWidth(options))], ...inRows(panels, 2)],
    note: `p: probability of ${quoted(positive)}. Each map reaches from 0 to its own maximum: ` +
      "the colours of two images cannot be compared.",
  }, options);
}

async function tilePanel({ image, lines }: Tile, width: number): Promise<Panel> {
  const { path, pixels, size, map } = image;
  const [between, line] = [4, 14];
  const side = Math.floor((width - GAP - between) / 2);
  const picture = async (shown: Uint8Array, x: number) =>
    `<image x="${x}" width="${side}" height="${side}" href="${await jpegSource(shown, size)}">` +
    `<title>${escapeHtml(basename(path))}</title></image>`;
  const texts = lines.map((text, i) =>
    `<text y="${side + 13 + i * line}" font-size="11" fill="${colors.ink}"` +
    `${i === 0 ? ' font-weight="bold"' : ""}>${
      escapeHtml(shorten(printable(text), width - GAP, 11))
    }</text>`
  );
  return {
    markup: await picture(pixels, 0) +
      await picture(heatOverlay(pixels, size, map), side + between) + texts.join(""),
    width,
    height: side + lines.length * line + 8,
  };
}

function colourBar(width: number): Panel {
  const stops = range(17)
    .map((i) => `<stop offset="${i / 16}" stop-color="rgb(${heatColor(i / 16).join()})"/>`);
  const text = (x: number, words: string) =>
    `<text x="${x}" y="12" font-size="12" fill="${colors.ink}">${words}</text>`;
  return {
    markup: `<linearGradient id="heat">${stops.join("")}</linearGradient>${text(0, "none")}` +
      `<rect x="36" y="2" width="150" height="12" fill="url(#heat)"/>` +
      text(193, "strongest evidence for the model's prediction"),
    width,
    height: 16,
  };
}

/**
 * Colours of heat maps, viridis (Smith and van der Walt, 2015): it grows lighter all the way, for every
 * colour blindness and grey print, and has no pink like that of PAS or H&E. One for each byte.
 */
const viridis = Plot.scale({ color: { type: "linear", domain: [0, 255], scheme: "viridis" } });

const heatColors = range(256).map((i) => [...Uint8Array.fromHex(viridis.apply(i).slice(1))]);

/** The colour of a value from 0 to 1, as 8-bit RGB. */
export function heatColor(value: number): readonly number[] {
  return heatColors[Math.round(Math.max(0, Math.min(1, value)) * 255)]!;
}

/**
 * A heat map over the picture it explains, the stronger the more it covers. A map that is zero
 * everywhere leaves the picture as it is.
 *
 * @param pixels RGB, row-major [size, size, 3].
 * @returns As `pixels`.
 */
export function heatOverlay(pixels: Uint8Array, size: number, map: HeatMap): Uint8Array {
  if (map.isZero) return pixels.slice();
  const heat = resizeMap(map, size, size);
  return pixels.map((value, i) => {
    const strength = heat[Math.floor(i / 3)]!;
    const share = 0.25 + 0.4 * strength; // as little as helps to see where there is no evidence
    return Math.round((1 - share) * value + share * heatColor(strength)[i % 3]!);
  });
}
