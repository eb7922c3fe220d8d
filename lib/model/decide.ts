/**
 * The class that a model's answer stands for: of two classes the positive one from the threshold on,
 * of more the most probable one.
 *
 * @param probabilities One a class; the last class is the positive one.
 * @param threshold 0 to 1.
 * @returns Index of the class.
 */
export function decide(probabilities: readonly number[], threshold: number): number {
  if (probabilities.length === 2) return probabilities[1]! >= threshold ? 1 : 0;
  return probabilities.indexOf(Math.max(...probabilities));
}
