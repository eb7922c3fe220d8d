import { robustScale } from "../core/stats.ts";
import type { Finding, FindingKind } from "../run/findings.ts";
import type { Look } from "./look.ts";
import { extensionFits } from "./open_image.ts";

/**
 * Limits of the audit. They were set on 484 real crops of two centres (PAS, 224 px) and on the 420
 * clean ones of the sample set, so that not one of these is found, nor of one class more than of the
 * other; what these reach is named beside each limit.
 */
const LIMITS = {
  /** Grey level below which 95 % of the pixels lie; the darkest crop has 87. */
  dark: 64,
  /** Grey level above which 95 % of the pixels lie; the brightest crop has 167. */
  bright: 215,
  /** Standard deviation in grey levels; the flattest crop has 17. */
  contrast: 5,
  /**
   * Blur effect. Of real crops that are not sclerotic 0.57 at most, of sclerotic ones, which are
   * softer, 0.64; of all of them after a Gaussian blur of 3.5 of 224 pixels 0.70 at least.
   */
  blur: 0.65,
  /** Largest difference of channels that is no colour: rounding and JPEG make 1 or 2. */
  colour: 4,
  /** Share of the area; the clean crops with a torn edge or a strip not scanned reach 0.20. */
  margin: 0.25,
  /** Side of a square of the same area, as a multiple of the median or its inverse. */
  size: 2.5,
  /** Width by height, as a multiple of the median or its inverse. */
  aspect: 2,
  /** How many spreads from the median is far: beyond it, and beyond the limits above. */
  spreads: 5,
};

/** With fewer images than this there is no telling what is usual. */
const LEAST_IMAGES = 10;

/**
 * Finds what is wrong or unusual about each image by itself or beside all others.
 *
 * Brightness and contrast have fixed limits. Size, shape and sharpness are compared with the data
 * set's own median and spread and must be beyond a fixed limit too: neither a set of small or soft
 * images nor one in which all are nearly alike has findings without cause. A way of storing that
 * half of the images share is no finding. Of an image that is nearly black, white or uniform
 * nothing more is said about its content.
 *
 * @param images All that could be decoded, in the order of their paths (relative to the data folder).
 * @returns In that order; the kinds of one image in the order of `FINDING_MEANINGS`.
 */
export function imageFindings(images: readonly { path: string; look: Look }[]): Finding[] {
  const looks = images.map(({ look }) => look);
  const modes = Map.groupBy(looks, describeMode);
  const size = compare(looks.map((look) => Math.log(look.width * look.height) / 2));
  const aspect = compare(looks.map((look) => Math.log(look.width / look.height)));
  const blur = compare(looks.filter(showsSomething).flatMap(({ measures }) => measures.blur ?? []));
  return images.flatMap(({ path, look }) => {
    const mode = describeMode(look);
    const isRare = mode !== "" && 2 * modes.get(mode)!.length < images.length;
    const details: Details = {
      wrong_extension: !extensionFits(path, look.format) &&
        `The content is ${look.format.toUpperCase()}, other than the name says.`,
      unusual_mode: look.hidesTissue
        ? "Transparent pixels hide a part of the picture."
        : isRare && `Stored as ${mode}, unlike most others.`,
      ...describeShape(look, size, aspect),
      ...(showsSomething(look) ? describeContent(look, blur) : describeNothing(look)),
    };
    return Object.entries(details).flatMap(([finding, detail]): Finding[] =>
      detail ? [{ path, finding: finding as FindingKind, detail, other_path: "" }] : []
    );
  });
}

/** What is found, in words; `false`: it is not. */
type Details = Partial<Record<FindingKind, string | false>>;

/** A quantity among all images: the usual value, and how far from it is far. */
type Comparison = { median: number; reach: number };

function compare(values: readonly number[]): Comparison {
  if (values.length < LEAST_IMAGES) return { median: 0, reach: Infinity };
  const { median, spread } = robustScale(values);
  return { median, reach: LIMITS.spreads * spread };
}

/** Neither nearly black nor white nor uniform. */
function showsSomething({ measures: { dark, bright, contrast } }: Look): boolean {
  return bright >= LIMITS.dark && dark <= LIMITS.bright && contrast >= LIMITS.contrast;
}

/** The way an image is stored; grey is grey in a file with three equal channels too. */
function describeMode(look: Look): string {
  const isGrey = !look.mode.includes("grey") && showsSomething(look) &&
    look.measures.colour <= LIMITS.colour;
  return isGrey ? `${look.mode} grey`.trim() : look.mode;
}

function describeShape({ width, height }: Look, size: Comparison, aspect: Comparison): Details {
  const isFar = (value: number, { median, reach }: Comparison, limit: number) =>
    Math.abs(value - median) > Math.max(reach, Math.log(limit));
  const usual = Math.round(Math.exp(size.median));
  return {
    size_outlier: isFar(Math.log(width * height) / 2, size, LIMITS.size) &&
      `${width} × ${height} pixels; the median is about ${usual} × ${usual}.`,
    aspect_outlier: isFar(Math.log(width / height), aspect, LIMITS.aspect) &&
      `Width by height is ${(width / height).toFixed(2)} (${width} × ${height} pixels); the ` +
        `median is ${Math.exp(aspect.median).toFixed(2)}.`,
  };
}

function describeContent(
  { measures: { blur, margin } }: Look,
  { median, reach }: Comparison,
): Details {
  return {
    blurred: blur !== null && blur > Math.max(LIMITS.blur, median + reach) &&
      `Blur ${blur.toFixed(2)} of 1; the median is ${median.toFixed(2)}.`,
    empty_margin: margin >= LIMITS.margin &&
      `${Math.round(100 * margin)} % of the area is an empty border.`,
  };
}

function describeNothing({ measures: { dark, bright, contrast } }: Look): Details {
  return {
    too_dark: bright < LIMITS.dark &&
      `95 % of the pixels are darker than grey level ${bright + 1} of 255.`,
    too_bright: dark > LIMITS.bright &&
      `95 % of the pixels are brighter than grey level ${dark - 1} of 255.`,
    nearly_uniform: contrast < LIMITS.contrast &&
      `Grey levels differ by ${contrast.toFixed(1)} of 255 (standard deviation).`,
  };
}
