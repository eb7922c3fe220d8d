/**
 * Every error a user can meet. The message says what happened to which file; the remedy says what
 * to do about it, in words that need no programming.
 */
export class ProjectError extends Error {
  /** What the reader can do now. */
  readonly remedy: string;

  /**
   * @param what What happened, naming the file, field or step.
   * @param remedy What to do about it.
   * @param options `cause`: the error underneath, where there is one.
   */
  constructor(what: string, remedy: string, options?: { cause?: unknown }) {
    super(`${what}\n  What to do: ${remedy}`, options);
    this.name = new.target.name;
    this.remedy = remedy;
  }
}

/** A config value is misspelt, of the wrong type or out of range. */
export class ConfigError extends ProjectError {}

/** A step of the set-up failed. */
export class SetupError extends ProjectError {}

/** A data folder, or a file that an earlier notebook should have written, is missing or unusable. */
export class DataError extends ProjectError {}

/** One image cannot be decoded. `path` names it, `reason` says why. */
export class ImageError extends ProjectError {
  /** Path of the image, as it was asked for. */
  readonly path: string;
  /** Why it cannot be decoded, without the path: for a table that has a column for the path. */
  readonly reason: string;

  constructor(path: string, reason: string, options?: { cause?: unknown }) {
    super(
      `${JSON.stringify(path)} could not be read as an image: ${reason}`,
      "Open it in an image viewer; replace or remove it, then run again.",
      options,
    );
    this.path = path;
    this.reason = reason;
  }
}

/** A saved model or a weights file is missing, damaged, or of another architecture or version. */
export class ModelError extends ProjectError {}

/** Starting weights that were asked for are not to be had here. */
export class WeightsMissingError extends ModelError {}

/** Training cannot go on: for example the loss became NaN. */
export class TrainingError extends ProjectError {}

/** The person asked to stop, and the work has no part of its result to return. */
export class StoppedError extends ProjectError {}
