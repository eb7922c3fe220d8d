import sharp from "sharp";
import type { Augmentation } from "../config_schema.ts";
import { applyChanges, augment } from "../images/augment/augment.ts";
import { AUGMENTATION_KINDS } from "../images/augment/augmentation_kinds.ts";
import {
  type AugmentationNote,
  describeAugmentations,
  shownSettings,
} from "../images/augment/describe_augmentations.ts";
import { NO_CHANGES, viewRandom } from "../images/augment/draw_changes.ts";
import { isAugmented } from "../images/augment/is_augmented.ts";
import type { LabelledFile } from "../images/labelled_file.ts";
import { decodeImage, type DecodeOptions } from "../images/decode.ts";
import { type Displayable, htmlDisplay } from "./displayable.ts";
import { escapeHtml } from "./escape_html.ts";

const TILE = 108; // pixels on the page; the pictures have the model's input size
const COLUMNS = 4;

/** What an augmentation grid shows. */
export interface AugmentationGridOptions extends DecodeOptions {
  /** `config.training.augmentation`. */
  augmentation: Augmentation;
  /** `config.seed`: the last rows are what training with it sees. */
  seed: number;
}

/**
 * Training images before and after: a row for each augmentation alone at its full strength, with
 * whether it is safe for this tissue and why, then two views with all that are on, as training sees
 * them. Where an augmentation is off, a usual strength is shown and the row says so.
 *
 * @param items The training images; four of them, of different classes, are shown.
 * @throws {ImageError} Naming an image that cannot be read.
 */
export async function augmentationGrid(
  items: readonly LabelledFile[],
  { augmentation, seed, ...decode }: AugmentationGridOptions,
): Promise<Displayable> {
  const { size } = decode;
  const indices = chosen(items.map(({ label }) => label));
  const originals = await Promise.all(
    indices.map(async (index) => (await decodeImage(items[index]!.path, decode)).pixels),
  );
  const row = async (
    note: Partial<AugmentationNote>,
    change: (pixels: Uint8Array, column: number) => Uint8Array | Promise<Uint8Array>,
  ): Promise<string> =>
    tableRow(
      note,
      await Promise.all(
        originals.map(async (pixels, column) => await picture(await change(pixels, column), size)),
      ),
    );
  const rows = [await row({ augmentation: "as they are" }, (pixels) => pixels)];
  const notes = describeAugmentations(augmentation);
  for (const [i, kind] of AUGMENTATION_KINDS.entries()) {
    const shown = shownSettings(kind, augmentation);
    rows.push(
      await row(
        notes[i]!,
        (pixels, column) =>
          applyChanges(pixels, size, { ...NO_CHANGES, ...kind.strongest(shown, column) }),
      ),
    );
  }
  for (const view of isAugmented(augmentation) ? [1, 2] : []) {
    rows.push(
      await row(
        { augmentation: `all that are on, epoch ${view}` },
        (pixels, column) =>
          augment(pixels, size, augmentation, viewRandom(seed, view, indices[column]!)),
      ),
    );
  }
  const html = `<div style="max-width:800px">Each augmentation alone at its full strength, one ` +
    `direction in the first picture and the other in the next.` +
    `<table style="border-collapse:collapse"><tbody>${rows.join("")}</tbody></table></div>`;
  return htmlDisplay(html, `Augmentations of ${indices.length} training images`);
}

/** Up to four images, the classes in turn, the first of each. */
function chosen(labels: readonly number[]): number[] {
  const classes = [...new Set(labels)].sort((a, b) => a - b)
    .map((label) => [...labels.keys()].filter((index) => labels[index] === label));
  return Array.from({ length: COLUMNS }, (_, turn) => classes.flatMap((of) => of[turn] ?? []))
    .flat().slice(0, COLUMNS);
}

async function picture(pixels: Uint8Array, size: number): Promise<string> {
  const jpeg = await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
    .jpeg({ quality: 92, chromaSubsampling: "4:4:4" }).toBuffer();
  return `<img src="data:image/jpeg;base64,${new Uint8Array(jpeg).toBase64()}" width="${TILE}" ` +
    `height="${TILE}" alt="" style="display:inline-block;margin:0 2px;max-width:none">`;
}

function tableRow(note: Partial<AugmentationNote>, pictures: readonly string[]): string {
  const { augmentation, setting, safe, why } = note;
  const judged = setting && safe
    ? `: ${escapeHtml(setting)} · safe: <b>${escapeHtml(safe)}</b>`
    : "";
  const style = "vertical-align:top;border-bottom:1px solid rgba(128,128,128,0.3)";
  return `<tr style="background:transparent"><td style="${style};padding:3px 12px 3px 0;` +
    `text-align:left;width:320px;white-space:normal"><b>${escapeHtml(augmentation ?? "")}</b>` +
    `${judged}<div style="font-size:11px;line-height:1.3">${escapeHtml(why ?? "")}</div></td>` +
    `<td style="${style};white-space:nowrap;padding:2px">${pictures.join("")}</td></tr>`;
}
