import { writeCsv } from "../csv.ts";
import type { EvaluationFiles } from "./evaluation_files.ts";
import type { GroupShare, GroupShares } from "./group_shares.ts";
import type { EvaluatedImage } from "./judge.ts";
import type { Verdict } from "./tally.ts";

/** The columns of evaluation_details.csv. */
export const DETAILS_COLUMNS = [
  "name",
  "predicted",
  "probability",
  "confidence",
  "decision",
  "group",
  "flags",
  "probability_uncorrected",
] as const satisfies (keyof EvaluatedImage)[];

/** The columns of evaluation_groups.csv. */
const GROUPS = ["group", "n", "positive", "share", "low", "high", "corrected_share"] as const;

function groupRow({ group, n, positive, share, interval, corrected }: GroupShare) {
  const { low, high } = interval;
  return { group, n, positive, share, low, high, corrected_share: corrected.share };
}

/**
 * Writes the four files, each atomically; evaluation.csv last, so that it speaks for all. Memory
 * does not grow with the number of images.
 *
 * @param verdicts Begins anew each time it is called: once a file.
 */
export async function writeEvaluation(
  files: EvaluationFiles,
  shares: GroupShares,
  verdicts: () => AsyncIterable<Verdict>,
): Promise<void> {
  await writeCsv(files.groups, GROUPS, [...shares.rows, shares.all].map(groupRow));
  await writeCsv(files.errors, ["name", "error"], unreadable(verdicts()));
  await writeCsv(files.details, DETAILS_COLUMNS, evaluated(verdicts()));
  await writeCsv(files.evaluation, ["name", "ground_truth"], answers(verdicts()));
}

/** The images that were classified. */
export async function* evaluated(
  verdicts: AsyncIterable<Verdict>,
): AsyncGenerator<
  EvaluatedImage & Record<typeof DETAILS_COLUMNS[number], string | number>,
  void,
  void
> {
  for await (const verdict of verdicts) if (!("error" in verdict)) yield verdict;
}

async function* unreadable(
  verdicts: AsyncIterable<Verdict>,
): AsyncGenerator<{ name: string; error: string }, void, void> {
  for await (const verdict of verdicts) if ("error" in verdict) yield verdict;
}

async function* answers(
  verdicts: AsyncIterable<Verdict>,
): AsyncGenerator<{ name: string; ground_truth: string }, void, void> {
  for await (const { name, predicted } of evaluated(verdicts)) {
    yield { name, ground_truth: predicted };
  }
}
