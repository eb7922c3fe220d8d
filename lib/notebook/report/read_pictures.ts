import { basename, join } from "node:path";
import type { ManifestRow } from "../../data/manifest.ts";
import { chooseExamples } from "../../metrics/choose_examples.ts";
import { thumbnail } from "../image_grid.ts";
import type { Picture } from "./parts.ts";
import type { Example, ReportData, ReportedTest } from "./report_data.ts";

/** A plot of more bytes is left out: something is wrong with it. */
const MOST_BYTES = 6e6;

/** All plots together: what most mail servers still take, with the rest of the page. */
const MOST_BYTES_TOGETHER = 15e6;

/** Small pictures of a class, and of mistakes. */
const MOST_EXAMPLES = 5;
const MOST_MISTAKES = 10;

/**
 * The saved plots of a run, ready to be put on a page; those that are too large are named instead.
 *
 * @param folder results/RUN/plots.
 */
export async function readPlots(
  folder: string,
): Promise<{ plots: Map<string, Picture>; problems: string[] }> {
  const plots = new Map<string, Picture>();
  const problems: string[] = [];
  const names = await Array.fromAsync(Deno.readDir(folder)).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  });
  let together = 0;
  for (const { name } of names.sort((a, b) => a.name < b.name ? -1 : 1)) {
    if (!name.endsWith(".svg")) continue;
    const { size } = await Deno.stat(join(folder, name));
    if (size > MOST_BYTES || together + size > MOST_BYTES_TOGETHER) {
      problems.push(`The plot ${name} is too large for this page; it is in the folder plots.`);
      continue;
    }
    const picture = svgPicture(await Deno.readFile(join(folder, name)));
    if (picture) plots.set(name.slice(0, -".svg".length), picture);
    else problems.push(`The plot ${name} is damaged: run notebooks 05 and 06 again.`);
    together += size;
  }
  return { plots, problems };
}

/** As an image, an SVG can run no script and load nothing. */
function svgPicture(bytes: Uint8Array): Picture | null {
  const text = new TextDecoder().decode(bytes.subarray(0, 2000));
  const [, width, height] = /^<svg [^>]*width="([\d.]+)" height="([\d.]+)"/.exec(text) ?? [];
  if (width === undefined || height === undefined) return null;
  const [, title = ""] = /<title>([^<]*)<\/title>/.exec(text) ?? [];
  return {
    source: `data:image/svg+xml;base64,${bytes.toBase64()}`,
    width: Number(width),
    height: Number(height),
    text: plainText(title),
  };
}

/** Text of an SVG as it was before it was escaped. */
function plainText(markup: string): string {
  const characters: Record<string, string> = {
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&#39;": "'",
    "&amp;": "&",
  };
  return markup.replace(/&(lt|gt|quot|#39|amp);/g, (entity) => characters[entity]!);
}

/**
 * Small pictures of a few images of each class, spread over the list of images.
 *
 * @param folder Absolute path of the data folder.
 */
export async function readExamples(
  folder: string,
  manifest: readonly ManifestRow[],
  classes: readonly string[],
): Promise<ReportData["examples"]> {
  const examples = new Map<string, Example[]>();
  for (const label of classes) {
    const own = manifest.filter((row) => row.status === "ok" && row.label === label);
    const count = Math.min(MOST_EXAMPLES, own.length);
    const chosen = Array.from(
      { length: count },
      (_, i) => own[Math.floor((i + 0.5) * own.length / count)]!.path,
    );
    examples.set(label, await Promise.all(chosen.map((path) => readExample(folder, path))));
  }
  return examples;
}

/** Small pictures of the most confident mistakes. */
export async function readMistakes(
  folder: string,
  { predictions }: Pick<ReportedTest, "predictions">,
  options: { threshold: number; classes: readonly string[] },
): Promise<ReportData["mistakes"]> {
  const [mistakes] = chooseExamples(predictions, { ...options, most: MOST_MISTAKES });
  return await Promise.all(
    mistakes!.examples.map(async ({ path, label, predicted, probability }) => {
      return { ...await readExample(folder, path), label, predicted, probability };
    }),
  );
}

async function readExample(folder: string, path: string): Promise<Example> {
  const picture = await thumbnail(join(folder, path));
  return { path, picture: picture && { ...picture, text: basename(path) } };
}
