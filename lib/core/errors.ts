/** An error for people: what happened to which file, and what to do. The message is both. */
export class ProjectError extends Error {
  /** What happened, naming the file, field or step; without the remedy. */
  readonly what: string;
  /** What the reader can do now. */
  readonly remedy: string;
  /** The file it happened to, where it is about one. */
  readonly file: string | undefined;

  /** @param options `cause`: the error underneath; `file`: the file that it is about. */
  constructor(what: string, remedy: string, options: { cause?: unknown; file?: string } = {}) {
    super(`${what}\n  What to do: ${remedy}`, { cause: options.cause });
    this.name = new.target.name;
    this.what = what;
    this.remedy = remedy;
    this.file = options.file;
  }
}

/** Why something failed, in words for a message: without the remedy of an error that brings its own. */
export function reasonOf(error: unknown): string {
  if (error instanceof ProjectError) return error.what;
  return error instanceof Error ? error.message : String(error);
}

/** A config value is misspelt, of the wrong type or out of range. */
export class ConfigError extends ProjectError {}

/** A step of the set-up failed. */
export class SetupError extends ProjectError {}

/** A data folder, or a file that an earlier notebook should have written, is missing or unusable. */
export class DataError extends ProjectError {}

/** One image cannot be decoded. */
export class ImageError extends ProjectError {
  /** Path of the image, as it was asked for. */
  readonly path: string;
  /** Why it cannot be decoded, without the path: for a table that has a column for the path. */
  readonly reason: string;

  constructor(path: string, reason: string, options: { cause?: unknown } = {}) {
    super(
      `${JSON.stringify(path)} could not be read as an image: ${reason}`,
      "Open it in an image viewer; replace or remove it, then run again.",
      { ...options, file: path },
    );
    this.path = path;
    this.reason = reason;
  }
}

/** A saved model or a weights file is missing, damaged, or of another architecture or version. */
export class ModelError extends ProjectError {}

/** Starting weights that were asked for cannot be obtained here. */
export class WeightsMissingError extends ModelError {}

/** Training cannot go on: for example the loss became NaN. */
export class TrainingError extends ProjectError {}

/** The person asked to stop, and the work has no part of its result to return. */
export class StoppedError extends ProjectError {}
