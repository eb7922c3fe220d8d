/** Steps of the colour map: as many as a byte has. */
const STEPS = 256;

/** Lightness, hue in degrees and chroma (OKLCH) at 0 and at 1. */
const DARK = { lightness: 0.28, hue: 295, chroma: 0.13 };
const BRIGHT = { lightness: 0.93, hue: 105, chroma: 0.19 };

/** Chroma half-way: no screen shows a stronger blue-green of this lightness. */
const MIDDLE_CHROMA = 0.09;

/**
 * Colours of heat maps, from dark violet over blue-green to bright yellow, in sRGB: [256, 3]. Equal
 * steps of the value are equal steps of lightness, so that the order is seen with every colour
 * blindness and in grey print; and no colour is like the pink of PAS or H&E. Computed in OKLCH
 * (Ottosson, "A perceptual color space for image processing", 2020).
 */
export const heatColors: readonly (readonly [number, number, number])[] = Array.from(
  { length: STEPS },
  (_, i) => {
    const t = i / (STEPS - 1);
    const between = (a: number, b: number) => a + (b - a) * t;
    const ends = between(DARK.chroma, BRIGHT.chroma);
    const chroma = MIDDLE_CHROMA + (ends - MIDDLE_CHROMA) * (2 * t - 1) ** 2;
    return oklchToRgb(
      between(DARK.lightness, BRIGHT.lightness),
      chroma,
      between(DARK.hue, BRIGHT.hue),
    );
  },
);

/** The colour of a value from 0 to 1. */
export function heatColor(value: number): readonly [number, number, number] {
  return heatColors[Math.round(Math.max(0, Math.min(1, value)) * (STEPS - 1))]!;
}

/** 8-bit sRGB; what is out of the screen's range is cut off. */
function oklchToRgb(lightness: number, chroma: number, hue: number): [number, number, number] {
  const angle = hue * Math.PI / 180;
  const [a, b] = [chroma * Math.cos(angle), chroma * Math.sin(angle)];
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    toByte(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    toByte(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    toByte(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** Linear light, 0 to 1, as an sRGB byte. */
function toByte(linear: number): number {
  const light = Math.max(0, Math.min(1, linear));
  const encoded = light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055;
  return Math.round(255 * encoded);
}
