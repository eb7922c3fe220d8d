/** The positive class against all others, as the scores and their charts see it. */
export interface PositiveClass {
  /** What is not the positive class (with two classes the other one's name), then the positive one. */
  names: readonly [string, string];
  /** 1 for the positive class, else 0. */
  indexOf(label: string): 0 | 1;
}

/**
 * The view in which two classes or more are scored: one against the rest.
 *
 * @param classes At least two; the last one is the positive class (`config.data.classes`).
 */
export function positiveClass(classes: readonly string[]): PositiveClass {
  const positive = classes.at(-1)!;
  return {
    names: [classes.length === 2 ? classes[0]! : `not ${positive}`, positive],
    indexOf: (label) => label === positive ? 1 : 0,
  };
}
