import assert from "node:assert/strict";
import { join } from "node:path";
import { readCsv } from "../../lib/core/csv.ts";
import { DataError } from "../../lib/core/errors.ts";
import { evaluateFolder } from "../../lib/evaluation/evaluate.ts";
import type { Evaluation, EvaluationOptions } from "../../lib/evaluation/results.ts";
import { disposeModel } from "../../lib/model/model.ts";
import { type CardDraft, saveModel } from "../../lib/model/saved.ts";
import { DEFAULT_DECISION } from "../../lib/run/decision.ts";
import { DETAILS_COLUMNS, type DetailsRow } from "../../lib/run/evaluation_files.ts";
import { inFolder, picture, put } from "../data/test_images.ts";
import { testCard } from "../model/model_card.ts";
import { smallModel } from "../model/small_model.ts";

/** Classes whose names are hostile. */
export const CLASSES: [string, string] = ["the negative, one", "=positive"];

/** Some of the small model's probabilities are within it. */
export const BAND = { low: 0.45, high: 0.55, errorRate: 0.05 };

/** Where a test's files are: new images in `folder`, `out` is evaluation.csv. */
export type Places = Record<"root" | "folder" | "modelFolder" | "out", string>;

/** Saves a small model, which predicts either class. */
export async function saveSmallModel(modelFolder: string, card: Partial<CardDraft> = {}) {
  const model = smallModel(CLASSES);
  const decision = { ...DEFAULT_DECISION, acceptBand: BAND };
  await saveModel(modelFolder, model, { ...testCard(model.architecture), decision, ...card });
  disposeModel(model);
}

/** Runs with the small model saved and a folder of images, which `fill` makes. */
export function withNewImages(
  fill: (folder: string) => Promise<void>,
  test: (places: Places) => Promise<void>,
  card: Partial<CardDraft> = {},
): () => Promise<void> {
  return () =>
    inFolder(async (root) => {
      const [folder, modelFolder] = [join(root, "new images"), join(root, "model")];
      await Deno.mkdir(folder);
      await fill(folder);
      await saveSmallModel(modelFolder, card);
      await test({ root, folder, modelFolder, out: join(root, "results", "evaluation.csv") });
    });
}

/** Writes `count` small images of one kind each: PNG, JPEG, and now and then none at all. */
export async function putImages(folder: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const name = `slide_${i % 5}/${String(i).padStart(4, "0")}`;
    if (i % 11 === 7) await put(folder, `${name}.png`, "no image");
    else if (i % 2) await put(folder, `${name}.png`, await picture(i, 40, 36).png().toBuffer());
    else await put(folder, `${name}.jpg`, await picture(i, 36, 40).jpeg().toBuffer());
  }
}

/** Writes `count` small square PNGs, 0.png and so on. */
export async function putPictures(folder: string, count: number, seed = 0): Promise<void> {
  for (let i = 0; i < count; i++) {
    await put(folder, `${i}.png`, await picture(seed + i, 40, 40).png().toBuffer());
  }
}

/** Evaluates a folder; the places are given. */
export function evaluate(
  { folder, modelFolder, out }: Places,
  options: Partial<EvaluationOptions> = {},
): Promise<Evaluation> {
  return evaluateFolder({ folder, modelFolder, out, ...options });
}

/** The rows of an evaluation's details. */
export async function detailsOf({ files }: Pick<Evaluation, "files">): Promise<DetailsRow[]> {
  const rows = await readCsv(files.details, DETAILS_COLUMNS, "");
  return rows.map((row) => ({
    ...row,
    decision: row.decision as DetailsRow["decision"],
    probability: Number(row.probability),
    confidence: Number(row.confidence),
    probability_uncorrected: Number(row.probability_uncorrected),
    spread: row.spread === "" ? null : Number(row.spread),
  }));
}

/** Evaluates a folder into another, and returns the rows of its details. */
export async function evaluateRows(options: Omit<EvaluationOptions, "out">) {
  let rows: DetailsRow[] = [];
  await inFolder(async (out) => {
    rows = await detailsOf(await evaluateFolder({ ...options, out: join(out, "evaluation.csv") }));
  });
  return rows;
}

/** The texts of the three CSVs. */
export async function csvTexts({ files }: Pick<Evaluation, "files">): Promise<string[]> {
  const { evaluation, details, errors } = files;
  return await Promise.all([evaluation, details, errors].map((path) => Deno.readTextFile(path)));
}

/** The texts of the three CSVs of an evaluation that nothing disturbs. */
export async function undisturbed(places: Places): Promise<string[]> {
  return await csvTexts(await evaluate({ ...places, out: join(places.root, "undisturbed.csv") }));
}

/** Expects an error of this kind whose message matches. */
export async function refuses(
  work: Promise<unknown>,
  message: RegExp,
  kind: new (...args: never[]) => Error = DataError,
): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert(error instanceof kind, String(error));
    assert.match(error.message, message);
    return true;
  });
}

/**
 * Runs an evaluation in a process of its own; returns the last line it said.
 *
 * @param options.signal Sent when so many images of the whole folder are done.
 * @param options.fileBlocks Most that a file may hold, in blocks of 512 bytes: writing more fails, as
 * on a full disk.
 * @param options.before What the command is put behind.
 */
export async function evaluateInChild(
  { folder, modelFolder, out }: Places,
  { signal, fileBlocks, before = [] }: {
    signal?: { name: "SIGINT" | "SIGKILL"; at: number };
    fileBlocks?: number;
    before?: readonly string[];
  },
): Promise<string> {
  const limit = fileBlocks === undefined ? "" : `trap '' XFSZ; ulimit -f ${fileBlocks}; `;
  const script = join(import.meta.dirname!, "evaluate_child.ts");
  const child = new Deno.Command("sh", {
    args: ["-c", `${limit}exec "$@"`, "sh", ...before, Deno.execPath(), "run", "-A", "--no-check"]
      .concat(script, folder, modelFolder, out, String(signal?.at)),
    env: { TF_CPP_MIN_LOG_LEVEL: "2" },
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let last = "";
  let text = "";
  let sent = false;
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (text + part).split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      last = line;
      if (!signal || sent || !(Number(line) >= signal.at)) continue;
      sent = true;
      child.kill(signal.name);
    }
  }
  await child.status;
  return last;
}
