/** One step of a learning rate range test. */
export interface RangePoint {
  learningRate: number;
  /** Of this step's batch. */
  loss: number;
  /** Moving average of the losses so far. */
  smoothed: number;
}

/** What a range test says. */
export interface Suggestion {
  /** `null` where the curve does not tell. */
  learningRate: number | null;
  /** Why, in a sentence. */
  reason: string;
}

/** Weight of the past in the moving average, as in fastai. */
const BETA = 0.98;

/**
 * A bias-corrected exponential moving average (Kingma and Ba, ICLR 2015, section 3), fed one value
 * after another: of equal values it is that value, from the first on.
 */
export function averageLosses(): (loss: number) => number {
  let [sum, count] = [0, 0];
  return (loss) => {
    sum = BETA * sum + (1 - BETA) * loss;
    count += 1;
    return sum / (1 - BETA ** count);
  };
}

export function suggestLearningRate(_points: readonly RangePoint[]): Suggestion {
  return { learningRate: null, reason: "" };
}
