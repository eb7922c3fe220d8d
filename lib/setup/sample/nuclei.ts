import type { Random } from "../../random.ts";
import { type Canvas, Tissue } from "./canvas.ts";
import type { Noise } from "./noise.ts";
import { mix, smoothstep } from "./shape.ts";

/** How the nuclei of a kind of tissue look. Lengths in µm. */
interface Kind {
  /** Nuclei tried per 100 µm². */
  density: number;
  length: number;
  /** Width over length. */
  roundness: number;
  /** Amount of haematoxylin. */
  darkness: number;
  /** Lies along the capsule rather than any way. */
  along: boolean;
}

const KINDS: Partial<Record<number, Kind>> = {
  [Tissue.tubule]: { density: 0.95, length: 6.6, roundness: 0.9, darkness: 0.62, along: false },
  [Tissue.interstitium]: {
    density: 0.55,
    length: 7.5,
    roundness: 0.5,
    darkness: 0.95,
    along: false,
  },
  [Tissue.fibrosis]: { density: 0.3, length: 10, roundness: 0.28, darkness: 0.85, along: true },
  [Tissue.capsuleLining]: {
    density: 0.7,
    length: 8.5,
    roundness: 0.32,
    darkness: 0.8,
    along: true,
  },
  [Tissue.loop]: { density: 1.5, length: 6.8, roundness: 0.72, darkness: 0.85, along: false },
  [Tissue.sclerosis]: { density: 0.5, length: 6, roundness: 0.6, darkness: 0.85, along: false },
  [Tissue.podocyte]: { density: 1.1, length: 8, roundness: 0.75, darkness: 0.6, along: false },
  [Tissue.vessel]: { density: 0.6, length: 9, roundness: 0.3, darkness: 0.8, along: false },
};

interface Site {
  pixelSize: number;
  /** Centre of the glomerulus, pixels. */
  centreX: number;
  centreY: number;
  /** Cellularity of the tuft, 1: normal. */
  tuftCells: number;
  /** Lymphocytes between the tubules, 0 to 1. */
  inflammation: number;
}

/** Scatters nuclei over a painted canvas where its tissue allows them, without overlaps. */
export function scatterNuclei(canvas: Canvas, random: Random, noise: Noise, site: Site): void {
  const { width, height } = canvas;
  const area = width * height * site.pixelSize ** 2;
  const tries = Math.round(area / 100 * 3);
  const taken = createOccupancy(width, height);
  for (let n = 0; n < tries; n++) {
    const x = random.integer(width);
    const y = random.integer(height);
    const tissue = canvas.tissue[y * width + x]!;
    const kind = KINDS[tissue];
    const chance = random.next() * 3;
    if (!kind) continue;
    const lymphocyte = tissue === Tissue.interstitium && random.next() < site.inflammation;
    const inTuft = tissue === Tissue.loop || tissue === Tissue.sclerosis;
    const crowd = inTuft ? site.tuftCells : lymphocyte ? 3 : 1;
    if (chance > kind.density * crowd) continue;
    const size = lymphocyte ? 5.5 : kind.length * (0.82 + 0.36 * random.next());
    const roundness = lymphocyte ? 0.92 : Math.min(1, kind.roundness * (0.8 + 0.4 * random.next()));
    const long = size / 2 / site.pixelSize;
    const short = long * roundness;
    if (!taken.claim(x, y, (long + short) / 2 * (tissue === Tissue.loop ? 0.95 : 1.15))) continue;
    const radial = Math.atan2(y - site.centreY, x - site.centreX);
    const angle = kind.along ? radial + Math.PI / 2 : random.next() * Math.PI;
    const darkness = (lymphocyte ? 1.15 : kind.darkness) * (0.75 + 0.5 * random.next());
    stampNucleus(canvas, noise, {
      x,
      y,
      long,
      short,
      angle,
      darkness,
      phase: random.next() * 32,
    });
  }
}

interface Nucleus {
  x: number;
  y: number;
  long: number;
  short: number;
  angle: number;
  darkness: number;
  phase: number;
}

function stampNucleus(canvas: Canvas, noise: Noise, nucleus: Nucleus): void {
  const { x, y, long, short, angle, darkness, phase } = nucleus;
  const reach = Math.ceil(long * 1.35);
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const soft = 1.2 / short;
  for (let j = Math.max(0, y - reach); j <= Math.min(canvas.height - 1, y + reach); j++) {
    for (let i = Math.max(0, x - reach); i <= Math.min(canvas.width - 1, x + reach); i++) {
      const a = ((i - x) * cos + (j - y) * sin) / long;
      const b = ((j - y) * cos - (i - x) * sin) / short;
      const r = Math.sqrt(a * a + b * b) + 0.35 * (noise(a / 1.6 + phase, b / 1.6) - 0.5);
      const cover = smoothstep(1 + soft, 1 - soft, r);
      if (cover === 0) continue;
      const chromatin = 0.55 + 0.7 * noise(a * 1.6 + phase, b * 1.6 + phase);
      const rim = 0.25 * smoothstep(0.55, 0.95, r);
      const index = j * canvas.width + i;
      canvas.haematoxylin[index] = mix(
        canvas.haematoxylin[index]!,
        darkness * (chromatin * 0.85 + rim),
        cover,
      );
      canvas.pas[index] = mix(canvas.pas[index]!, 0.12, cover * 0.85);
    }
  }
}

/** Remembers which places are taken, on a grid of 3 pixels. */
function createOccupancy(width: number, height: number) {
  const step = 3;
  const columns = Math.ceil(width / step) + 1;
  const rows = Math.ceil(height / step) + 1;
  const taken = new Uint8Array(columns * rows);
  const eachCell = (x: number, y: number, radius: number, visit: (cell: number) => boolean) => {
    const reach = radius / step;
    const [cx, cy] = [x / step, y / step];
    for (let j = Math.max(0, Math.ceil(cy - reach)); j <= Math.min(rows - 1, cy + reach); j++) {
      for (
        let i = Math.max(0, Math.ceil(cx - reach));
        i <= Math.min(columns - 1, cx + reach);
        i++
      ) {
        if ((i - cx) ** 2 + (j - cy) ** 2 > reach * reach) continue;
        if (!visit(j * columns + i)) return false;
      }
    }
    return true;
  };
  return {
    /** Takes a disc (pixels) and says so, unless part of it was taken. */
    claim(x: number, y: number, radius: number): boolean {
      if (!eachCell(x, y, radius, (cell) => taken[cell] === 0)) return false;
      eachCell(x, y, radius, (cell) => (taken[cell] = 1) === 1);
      return true;
    },
  };
}
