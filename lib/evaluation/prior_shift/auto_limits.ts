/**
 * With fewer images "auto" never corrects. Simulated with models of an AUC of 0.92 and 0.98,
 * calibrated on 150 images, shares from 2 to 90 %: from 100 images on, a correction never cost more
 * than 0.01 in F1 and gained up to 0.25; with 20 to 50 the noise of the estimate cost up to 0.06 and
 * more of the weaker model.
 */
export const FEWEST_IMAGES = 100;

/** With fewer validation images of a class, neither calibration nor cross-check is worth trusting. */
export const FEWEST_OF_A_CLASS = 10;

/**
 * The share has moved where p is below this. Stricter than usual, because calibration has an error
 * that the test does not know; shifts that matter are far below it.
 */
export const SIGNIFICANT = 0.001;

/**
 * Where more images than this share are unlike the training data, more than the share of classes may
 * differ. As many images can move an estimated share by as much.
 */
export const MOST_UNLIKE = 0.1;
