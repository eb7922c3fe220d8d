import type { Skipped } from "../data/list_images.ts";
import type { ModelCard } from "../model/model_card.ts";
import type { OnProgress } from "../progress.ts";
import type { EvaluationFiles } from "./evaluation_files.ts";
import type { Exports, Format } from "./export/write_exports.ts";
import type { ScoredSample } from "../metrics/scores.ts";
import type { ExternalScores } from "./external_scores.ts";
import type { GroupShares } from "./group_shares.ts";
import type { PriorShift, PriorShiftInput } from "./prior_shift/decide_prior_shift.ts";
import type { ReviewImage } from "./review_queue.ts";
import type { Shard } from "./shard.ts";
import type { Tally } from "./tally.ts";
import type { WorkFile } from "./work_file.ts";

/** What became of a folder. */
export interface Evaluation extends Tally {
  /**
   * `finished`: every image found is in evaluation.csv or evaluation_errors.csv. `stopped`: the
   * person did; run again to go on. `part`: a shard is done. Of the latter two no CSV is written.
   */
  state: "finished" | "stopped" | "part";
  /** Images found: classified, unreadable, and those not yet looked at or in other parts. */
  images: number;
  /** Images whose results an earlier, interrupted evaluation had left. */
  resumed: number;
  /** Why an earlier evaluation's work could not be used; `null`: it was, or there was none. */
  restarted: WorkFile["restarted"];
  /** Images a second, in this evaluation; `null`: none was classified now. */
  imagesPerSecond: number | null;
  /** Files that are no images by their names. */
  skipped: Skipped;
  card: ModelCard;
  /** What was decided about the share of classes; `null`: not all images are there yet. */
  priorShift: PriorShift | null;
  /** The share of positive images in each patient or slide, and in all. */
  shares: GroupShares;
  /** Those that need a person's look most; `flags`: whether it is known what is usual. */
  queue: { first: (ReviewImage & { need: number })[]; flags: boolean };
  /** Scores where the folder tells the true classes; `null`: they were not asked for, or not yet. */
  external: { scores: ExternalScores | null; text: string } | null;
  files: EvaluationFiles;
  exports: Exports;
}

/** What {@linkcode evaluateFolder} needs to know. */
export interface EvaluationOptions {
  /** Absolute path of the new images. */
  folder: string;
  /** `config.evaluation.followLinks`; by default links are not followed. */
  followLinks?: boolean | undefined;
  /** Absolute path of the model folder; classes and preprocessing come from it. */
  modelFolder: string;
  /** Absolute path of evaluation.csv; the other files go beside it. */
  out: string;
  /** `config.evaluation.priorShift`; by default "auto". */
  priorShift?: PriorShiftInput["setting"] | undefined;
  /** Evaluates this part alone, to be merged later. */
  shard?: Shard | undefined;
  /** Joins the parts that are there, and evaluates nothing. */
  merge?: boolean | undefined;
  /** Overwrites an evaluation of another folder or model. */
  force?: boolean | undefined;
  /** Layouts to be written beside the CSVs. */
  formats?: readonly Format[] | undefined;
  /** The test images to compare a labelled folder with; `null` when there are none of this model. */
  internal?: ((card: ModelCard) => Promise<ScoredSample | null>) | undefined;
  /** Absolute path of a CSV that tells where on their slides the crops are. */
  sidecar?: string | undefined;
  onProgress?: OnProgress | undefined;
}
