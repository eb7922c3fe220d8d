import type { TensorFlow } from "../../setup/tensorflow.ts";

type Tensor = TensorFlow.Tensor;

/** How channels are weighed. */
export type ClassActivation = "grad_cam" | "grad_cam_plus_plus";

/**
 * Evidence for a class from a layer's activation A and the gradient g of the class's logit: the
 * channels of A, weighed and summed, with what speaks against the class set to 0.
 *
 * - `grad_cam`: a channel's weight is the mean of g over all places (Selvaraju et al., ICCV 2017,
 *   equations 1 and 2).
 * - `grad_cam_plus_plus`: it is Σ α · relu(g) with α = g² / (2 g² + g³ ΣA) (Chattopadhay et al.,
 *   WACV 2018, equations 9 and 19); both sums are over all places, and the score is the exponential
 *   of the logit, whose factor every place shares. It is meant for layers behind a ReLU: ΣA is then
 *   not negative and no denominator comes near 0. Since no channel counts against the class, its maps
 *   depend less on the weights behind the layer: see `checkMaps`.
 *
 * @param activation [n, height, width, channels].
 * @param gradient As `activation`.
 * @returns [n, height, width]; to be called in a tidy.
 */
export function classActivation(
  method: ClassActivation,
  activation: Tensor,
  gradient: Tensor,
): Tensor {
  const places = [1, 2];
  const weights = method === "grad_cam"
    ? gradient.mean(places, true)
    // α · relu(g), with g² taken out of the fraction: where g is 0 the paper's form is 0 / 0
    : gradient.relu()
      .divNoNan(gradient.mul(activation.sum(places, true)).add(2))
      .sum(places, true); // [n, 1, 1, channels]
  return activation.mul(weights).sum(3).relu();
}
