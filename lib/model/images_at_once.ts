import { nativeBackend } from "../setup/tensorflow.ts";

/**
 * How many images a network takes in one pass. Its first layers hold the largest tensors of all, so
 * on a processor fewer at once bound the peak of memory and cost little; a graphics card takes all
 * that it is given.
 *
 * @param onProcessor At most so many where there is no graphics card.
 */
export function imagesAtOnce(onProcessor: number): number {
  return nativeBackend().isUsingGpuDevice ? Infinity : onProcessor;
}
