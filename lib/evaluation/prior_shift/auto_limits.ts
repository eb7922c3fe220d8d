/**
 * With fewer images "auto" never corrects. Simulated with models of an AUC of 0.92 and 0.98,
 * calibrated on 150 images, at shares from 2 to 90 %: with 30 images a correction cost up to 0.03 in
 * F1, from 50 on no more than 0.01. Twice as many, because a shift of another kind is noticed from
 * too few images only half of the time (real crops of another centre).
 */
export const FEWEST_IMAGES = 100;

/**
 * With fewer validation images of a class, neither calibration nor cross-check is worth trusting. On
 * real crops of another centre, models with 14 to 16 of the positive class lost up to 0.05 in F1 at
 * single shares by corrections that all checks allowed.
 */
export const FEWEST_OF_A_CLASS = 20;

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
