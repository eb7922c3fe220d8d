import sharp from "sharp";
import { basename } from "node:path";
import type { ExampleGroup } from "../metrics/choose_examples.ts";
import type { ExplainedPrediction } from "../metrics/explain/explain_run.ts";
import { card, CONTENT_WIDTH, GAP } from "./card.ts";
import { escapeHtml, printable } from "./escape_html.ts";
import type { Figure } from "./figure.ts";
import { heatColor } from "./heat_colors.ts";
import { heatOverlay } from "./heat_overlay.ts";
import type { Panel } from "./panel.ts";
import { shorten } from "./text_layout.ts";
import { classLabel, colors, images } from "./theme.ts";

const COLUMNS = 2;
const TILE_WIDTH = (CONTENT_WIDTH - (COLUMNS - 1) * GAP) / COLUMNS;
const BETWEEN = 4; // a picture and its overlay
const PICTURE = Math.floor((TILE_WIDTH - GAP - BETWEEN) / 2);
const LINE = 14;

/**
 * A group of test images, each beside itself with the evidence for the model's answer laid over it:
 * what is bright spoke for the answer. Pictures are as the model saw them.
 *
 * @param group From `explainRun`.
 * @param options `positive`: folder name of the class whose probability is given.
 */
export async function explanationGrid(
  group: ExampleGroup<ExplainedPrediction>,
  { run, positive }: { run: string; positive: string },
): Promise<Figure> {
  const { examples, of } = group;
  const tiles = await Promise.all(examples.map(tile));
  const rows = Array.from(
    { length: Math.ceil(tiles.length / COLUMNS) },
    (_, row) => tiles.slice(row * COLUMNS, (row + 1) * COLUMNS),
  );
  const noun = group.kind === "mistakes" ? "mistake" : "such image";
  return card({
    title: titleOf(group),
    subtitle: `Run ${run} · ${examples.length} of n = ${images(of)}`,
    rows: tiles.length === 0 ? [] : [[colourBar()], ...rows],
    note: tiles.length === 0
      ? `There is no ${noun} among the test images.`
      : `p: probability of “${
        classLabel(positive)
      }”. Each map reaches from 0 to its own maximum: ` +
        "the colours of two images cannot be compared.",
  });
}

function titleOf({ kind, label }: ExampleGroup<unknown>): string {
  if (kind === "mistakes") return "Why: the most confident mistakes";
  if (kind === "uncertain") return "Why: the least certain of the others";
  return `Why: typical “${classLabel(label ?? "")}”, classified rightly`;
}

/** A picture, its overlay, and what is known of it in three lines. */
async function tile(example: ExplainedPrediction): Promise<Panel> {
  const { path, label, predicted, probability, image } = example;
  const { pixels, size, map, explained } = image;
  const plain = await picture(pixels, size, 0, path);
  const overlay = await picture(heatOverlay(pixels, size, map), size, PICTURE + BETWEEN, path);
  const evidence = map.isZero ? ` · no evidence for “${classLabel(explained)}” found` : "";
  const lines = [
    basename(path),
    `labelled ${classLabel(label)}`,
    `answered ${classLabel(predicted)}, p = ${probability.toFixed(3)}${evidence}`,
  ].map((text, i) =>
    `<text y="${PICTURE + 13 + i * LINE}" font-size="11" fill="${colors.ink}"` +
    `${i === 0 ? ' font-weight="bold"' : ""}>${
      escapeHtml(shorten(printable(text), TILE_WIDTH - GAP, 11))
    }</text>`
  );
  return {
    markup: plain + overlay + lines.join(""),
    width: TILE_WIDTH,
    height: PICTURE + 3 * LINE + 8,
  };
}

async function picture(
  pixels: Uint8Array,
  size: number,
  x: number,
  path: string,
): Promise<string> {
  const jpeg = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality: 90, chromaSubsampling: "4:4:4" }).toBuffer();
  return `<image x="${x}" width="${PICTURE}" height="${PICTURE}" ` +
    `href="data:image/jpeg;base64,${new Uint8Array(jpeg).toBase64()}">` +
    `<title>${escapeHtml(basename(path))}</title></image>`;
}

/** What the colours mean. */
function colourBar(): Panel {
  const stops = Array.from({ length: 17 }, (_, i) => {
    const color = `rgb(${heatColor(i / 16).join()})`;
    return `<stop offset="${i / 16}" stop-color="${color}"/>`;
  });
  const [from, to] = ["none", "strongest evidence for the model's answer"];
  const text = (x: number, words: string) =>
    `<text x="${x}" y="12" font-size="12" fill="${colors.ink}">${words}</text>`;
  return {
    markup: `<linearGradient id="heat">${stops.join("")}</linearGradient>${text(0, from)}` +
      `<rect x="36" y="2" width="150" height="12" fill="url(#heat)"/>${text(193, to)}`,
    width: CONTENT_WIDTH,
    height: 16,
  };
}
