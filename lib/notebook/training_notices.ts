import type { Config } from "../config_schema.ts";
import { describeAugmentations } from "../images/augment/describe_augmentations.ts";
import { isAugmented } from "../images/augment/is_augmented.ts";
import type { Displayable } from "./displayable.ts";
import { notice } from "./notice.ts";

/** What a person should know before training with these settings; nothing for the default ones. */
export function trainingNotices(
  { augmentation, cachedViews, sampling }: Pick<
    Config["training"],
    "augmentation" | "cachedViews" | "sampling"
  >,
): Displayable[] {
  const notices: Displayable[] = [];
  if (isAugmented(augmentation)) {
    notices.push(notice(
      cachedViews === 0
        ? "Augmentation is on: every epoch sees the training images changed anew, so the frozen " +
          "layers run on every one of them in every epoch instead of once. An epoch takes much " +
          "longer; training.cachedViews keeps a number of views instead."
        : `Augmentation is on, with ${cachedViews} views of every image, which come in turn: the ` +
          "frozen layers run once on each, so the first epochs take longer.",
    ));
    const unsafe = describeAugmentations(augmentation)
      .filter(({ setting, safe }) => safe === "no" && !setting.startsWith("off"))
      .map((note) => `${note.augmentation} (${note.setting})`);
    if (unsafe.length > 0) {
      notices.push(notice(
        `Not safe for this tissue at this strength: ${unsafe.join(", ")}. Notebook 04 says why.`,
        "warning",
      ));
    }
  }
  if (sampling === "balanced") {
    notices.push(notice(
      "Balanced sampling: the training images seem to be of every class equally often. The scores " +
        "on them are of that mixture, and the model gives rarer classes higher probabilities than " +
        "their true share warrants.",
    ));
  }
  return notices;
}
