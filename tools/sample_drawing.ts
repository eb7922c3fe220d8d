import { extname } from "node:path";
import sharp from "sharp";
import { createRandom, type Random } from "../lib/core/random.ts";
import type { CropPlan, Measures, Range, Stain } from "./sample_plan.ts";

/** Pixels of the file along one that is painted: painting is slow, enlarging is not. */
const ENLARGEMENT = 2;

/**
 * Prepares the drawing of planned crops.
 *
 * @returns Draws one crop: the bytes of its file, RGBA PNG, RGB JPEG or RGB TIFF, as its name says.
 * It paints at once and encodes in a thread of its own, so that several may be in flight. The same
 * seed and plan give the same bytes with sharp of one version.
 */
export function createDraw(seed: number): (crop: CropPlan) => Promise<Uint8Array> {
  const texture = createTexture(createRandom(`${seed}/noise`));
  return async (crop) => {
    const random = createRandom(`${seed}/crop/${crop.name}`);
    const format = extname(crop.name);
    const scene = drawScene(crop, texture, random);
    const { width, height, strip, columns, rows } = scene;
    for (let at = 0; at < columns * rows; at++) {
      look(scene, at % columns, Math.floor(at / columns));
      scene.pas[at] = ink.pas;
      scene.haematoxylin[at] = ink.haematoxylin;
    }
    scatterNuclei(scene, random);
    const raw = { width: columns, height: rows, channels: 3 } as const;
    const image = sharp(develop(scene, crop.slide.stain, random), { raw })
      .resize(width - strip, height, { fit: "fill", kernel: "linear" });
    // One in twenty is out of focus, one in five a little.
    const focus = random.next();
    if (focus < 0.25) image.blur(focus < 0.05 ? 2 + 1.8 * random.next() : 1.2);
    if (format === ".jpg") return await image.jpeg({ quality: 88 }).toBuffer();
    if (format === ".tif") return await image.tiff({ compression: "lzw" }).toBuffer();
    // Transparent black, as scanners export what they did not scan.
    if (strip > 0) image.extend({ right: strip, background: "#00000000" });
    return await image.ensureAlpha().png({ compressionLevel: 2, adaptiveFiltering: true })
      .toBuffer();
  };
}

/** One crop before it is painted. Lengths in µm, sizes in pixels. */
type Scene = ReturnType<typeof drawScene>;

function drawScene(
  { name, sclerotic, ranges, slide }: CropPlan,
  texture: ReturnType<typeof createTexture>,
  random: Random,
) {
  const from = ([low, high]: Range) => low + (high - low) * random.next();
  const drawn = Object.entries(ranges).map(([measure, range]) => [measure, from(range)]);
  const measures = Object.fromEntries(drawn) as Measures;
  const drawSide = () => {
    const side = 2 * measures.radius * from([1.08, 1.38]) / slide.pixelSize;
    return Math.round(Math.min(900, Math.max(480, side)));
  };
  const [width, height] = [drawSide(), drawSide()];
  const isCut = name.endsWith(".png") && random.next() < 0.06;
  const strip = isCut ? Math.round(width * from([0.04, 0.18])) : 0;
  const columns = Math.ceil((width - strip) / ENLARGEMENT);
  const rows = Math.ceil(height / ENLARGEMENT);
  // One in fifteen glomeruli is cut off by the edge of its crop.
  const shift = random.next() < 0.07 ? 0.32 : 0.035;
  const centreX = width / ENLARGEMENT * from([0.5 - shift, 0.5 + shift]);
  const centreY = height / ENLARGEMENT * from([0.5 - shift, 0.5 + shift]);
  const pixelSize = slide.pixelSize * ENLARGEMENT;
  const capsule = drawCapsule(measures, sclerotic, random);
  const tuft = drawTuft(measures, sclerotic, random);
  // A distance is smooth and costly: computed at some pixels, it is interpolated between them.
  const tabulate = (distance: Distance) =>
    Float32Array.from({ length: TABLE * TABLE }, (_, at) => {
      const [i, j] = [at % TABLE * STEP, Math.floor(at / TABLE) * STEP];
      return distance((i - centreX) * pixelSize, (j - centreY) * pixelSize);
    });
  return {
    ...measures,
    ...texture,
    sclerotic,
    scarring: slide.scarring,
    loop: from([10, 16]), // size of a capillary loop
    tubule: from([44, 58]), // size of a tubule
    solidAngle: from([0, 2 * Math.PI]), // where from the centre the tuft is solid, if not all is
    offset: from([0, 5000]), // into the texture
    width, // of the file
    height,
    strip, // of the width, where nothing was scanned
    columns, // painted
    rows,
    centreX, // of the glomerulus, painted pixels
    centreY,
    pixelSize, // edge of a painted pixel
    toCapsule: tabulate(capsule),
    toTuft: tabulate((x, y) => Math.max(tuft(x, y), capsule(x, y) + measures.capsule / 2)),
    pas: new Float32Array(columns * rows), // amounts of stain, [rows, columns]
    haematoxylin: new Float32Array(columns * rows),
  };
}

/** Distance from a border at a place, µm from the centre of the glomerulus; negative inside. */
type Distance = (x: number, y: number) => number;

/** Pixels between the entries of a table of distances, and entries along its side. */
const [STEP, TABLE] = [16, 32];

/** A circle made uneven by a few waves around it. */
function drawCapsule({ radius }: Measures, sclerotic: boolean, random: Random): Distance {
  const waves = [2, 3, 4, 5, 7, 9].map((k) => ({
    k,
    height: radius * (sclerotic ? 0.045 : 0.026) * random.normal() * (k === 2 ? 1.6 : 2.2 / k),
    phase: random.next() * 2 * Math.PI,
  }));
  return (x, y) => {
    const angle = Math.atan2(y, x);
    let edge = radius;
    for (const { k, height, phase } of waves) edge += height * Math.cos(k * angle + phase);
    return Math.sqrt(x * x + y * y) - edge;
  };
}

/** Lobules around a middle one, and a stalk on which the tuft hangs. */
function drawTuft(measures: Measures, sclerotic: boolean, random: Random): Distance {
  const radius = measures.radius * measures.fill;
  const disc = (angle: number, reach: number, size: number) => ({
    x: (reach - size) * Math.cos(angle),
    y: (reach - size) * Math.sin(angle),
    size,
  });
  const count = 6 + random.integer(4);
  const start = random.next() * 2 * Math.PI;
  const discs = Array.from({ length: count }, (_, i) => {
    const angle = start + (i + 0.5 * (random.next() - 0.5)) / count * 2 * Math.PI;
    return disc(angle, radius, radius * (0.36 + 0.1 * random.next()));
  });
  const stalk = [0.87, 1, 1.15];
  discs.push(...stalk.map((r) => disc(start, measures.radius * r, measures.radius * 0.15)));
  // A solid tuft is one mass; an open one shows clefts between its lobules.
  const round = measures.radius * (sclerotic ? 0.3 : 0.06);
  return (x, y) => {
    let distance = Math.sqrt(x * x + y * y) - radius / 2;
    for (const disc of discs) {
      const own = Math.sqrt((x - disc.x) ** 2 + (y - disc.y) ** 2) - disc.size;
      distance = smoothMinimum(distance, own, round);
    }
    return distance;
  };
}

// What is seen at one place: amounts of stain, and the nuclei that may lie there. Filled anew for
// every pixel: objects made for each would be a hundred million.
const ink = { pas: 0, haematoxylin: 0, nuclei: null as Nuclei | null };

/** Looks at a painted pixel, without its nuclei. */
function look(scene: Scene, i: number, j: number): void {
  const { noise, pixelSize, centreX, centreY, offset, solid, solidAngle } = scene;
  const [right, down] = [(i - centreX) * pixelSize, (j - centreY) * pixelSize];
  const [x, y] = [offset + right, offset + down];
  const toCapsule = between(scene.toCapsule, TABLE, i / STEP, j / STEP);
  if (toCapsule > 0) paintTubules(x, y, toCapsule, scene);
  else {
    // The outline of the tuft follows its loops.
    const scallop = (scene.sclerotic ? 0.35 : 0.55) * scene.loop * (noise(x / 9, y / 9) - 0.5);
    const toTuft = between(scene.toTuft, TABLE, i / STEP, j / STEP) + scallop;
    // Sclerosis ends along a wavy line across the tuft, or not at all.
    const along = right * Math.cos(solidAngle) + down * Math.sin(solidAngle);
    const end = (solid % 1 === 0 ? 4 : 1.9) * (0.5 - solid) * scene.radius * scene.fill;
    const isSolid = along > end + 14 * (noise(x / 20, y / 20) - 0.5);
    if (toTuft > 0) paintSpace(x, y, toCapsule, toTuft, scene);
    else if (isSolid) paintMass(x, y, scene);
    else paintLoops(x, y, toTuft, scene);
  }
  paintCapsule(x, y, toCapsule, scene);
}

/** Tubules with their basement membranes, what is between them, and the scar around the capsule. */
function paintTubules(x: number, y: number, toCapsule: number, scene: Scene): void {
  const { noise, scarring, scar, tubule } = scene;
  const wx = x + 9 * (noise(x / 34, y / 34) - 0.5);
  const wy = y + 9 * (noise(y / 34, x / 34) - 0.5);
  const { first, second, value } = scene.cell(wx / tubule, wy / tubule);
  // Back to back where nothing is scarred, small and far apart where much is.
  const border = Math.min((second - first) / 2, 0.62 - first) * tubule - 2 - 4.5 * scarring;
  const toScar = toCapsule - 2 - scar * (0.4 + 1.2 * noise(x / 40, y / 40));
  const depth = smoothMinimum(border, toScar, 8);
  const grain = noise(x / 3.2, y / 3.2);
  if (depth > 0) paintEpithelium(depth, value, grain, noise(x / 9, y / 9));
  else {
    // Fibres run around the glomerulus in its scar, and this way and that elsewhere, with
    // capillaries between them and gaps where the section tore.
    const inScar = toScar < 3;
    const fibre = inScar
      ? 0.36 * noise(toCapsule / 3 + noise(x / 25, y / 25) * 5, (x + y) / 60)
      : 0.22 * noise(x / 5 + y / 14, y / 5 - x / 14);
    const gap = inScar ? 0 : smoothstep(0.7, 0.78, noise(x / 11, y / 11));
    ink.pas = (0.07 + fibre + (inScar ? 0.12 : 0.03) * grain) * (1 - 0.85 * gap);
    ink.haematoxylin = (0.03 + 0.06 * grain) * (1 - 0.9 * gap);
    ink.nuclei = inScar ? NUCLEI.fibrosis : gap > 0.4 ? null : NUCLEI.interstitium;
  }
  ink.pas += (0.62 + 0.3 * grain) * line(depth, (0.65 + 0.9 * scarring) * (0.8 + 0.4 * value));
}

/** @param kind 0 to 1: below 0.62 a proximal tubule with a brush border; above 0.95 one with a cast. */
function paintEpithelium(depth: number, kind: number, grain: number, patch: number) {
  const proximal = kind < 0.62;
  const height = (proximal ? 13 : 7.5) * (0.8 + 0.5 * patch);
  const lumen = smoothstep(height - 1, height + (proximal ? 2.5 : 1), depth);
  const cytoplasm = (proximal ? 0.05 + 0.16 * grain : 0.03 + 0.08 * grain) + 0.05 * patch;
  const cast = kind > 0.95 ? 0.6 : 0.02;
  ink.pas = mix(cytoplasm, cast, lumen) + (proximal ? 0.22 * line(depth - height, 1.6) : 0);
  ink.haematoxylin = mix(0.04 + 0.08 * grain, 0.08 * cast, lumen);
  ink.nuclei = depth > 2.2 && depth < height * 0.72 ? NUCLEI.tubule : null;
}

/** Bowman's space, empty or filled with pale collagen in layers; podocytes sit on open loops. */
function paintSpace(x: number, y: number, toCapsule: number, toTuft: number, scene: Scene): void {
  const { noise, collagen } = scene;
  const filled = smoothstep(0.02, 0.12, collagen);
  const layer = noise(toCapsule / 3.5 + 4 * noise(x / 22, y / 22), (x - y) / 70);
  const debris = 0.04 * smoothstep(0.7, 1.05, noise(x / 6, y / 6));
  const podocyte = scene.sclerotic ? 0 : noise(x / 5, y / 5) * smoothstep(4, 0, toTuft);
  ink.pas = 0.012 + debris + filled * (0.1 + 0.35 * collagen) * (0.65 + 0.7 * layer) +
    0.13 * podocyte;
  ink.haematoxylin = 0.004 + debris + filled * (0.03 + 0.07 * layer) + 0.16 * podocyte;
  const inSpace = filled > 0.5 ? NUCLEI.fibrosis : null;
  const isLining = toCapsule > -4 && toCapsule < -1.5;
  ink.nuclei = podocyte > 0.35 ? NUCLEI.podocyte : isLining ? NUCLEI.lining : inSpace;
}

/** Bowman's capsule, in layers if it is thick; painted over what is there. */
function paintCapsule(x: number, y: number, toCapsule: number, scene: Scene): void {
  const { noise, capsule } = scene;
  const distance = Math.abs(toCapsule);
  if (distance > capsule + 2) return;
  const half = capsule * (0.35 + 0.4 * noise(x / 30, y / 30)) + 0.3;
  const along = noise(toCapsule / 1.6 + 2 * noise(x / 12, y / 12), (x + y) / 50);
  const layer = 0.45 + 0.55 * (capsule > 2.5 ? along : 0.6);
  const wall = smoothstep(half + 0.8, half - 0.4, distance) * layer;
  ink.pas = Math.max(ink.pas, wall * (scene.sclerotic ? 0.4 + 0.5 * scene.density : 1));
  if (wall > 0.2) ink.nuclei = null;
}

/** The open part of the tuft: capillary loops around a mesangium. */
function paintLoops(x: number, y: number, toTuft: number, scene: Scene): void {
  const { noise, loop, open, mesangium } = scene;
  const grain = noise(x / 2.6, y / 2.6);
  const wx = x + 5 * (noise(x / 11, y / 11) - 0.5);
  const wy = y + 5 * (noise(y / 11, x / 11) - 0.5);
  const { first, second, value } = scene.cell(wx / loop, wy / loop);
  // Near the outline of the tuft a loop ends at its own wall.
  const border = Math.min((second - first) * loop / 2, Math.max(0, -0.8 * toTuft));
  // Mesangium lies in the axes of the lobules; at the rim the walls are thin and the loops wide.
  const axis = smoothstep(0.4, 0.8, noise(x / 26, y / 26)) * smoothstep(-2, -14, toTuft);
  const wall = loop * (0.07 + 0.13 * axis * mesangium) * (0.7 + 0.6 * grain);
  const opening = value < open * (1 - 0.6 * axis) ? 1 : 0;
  const lumen = opening * smoothstep(wall, wall + 0.9, border);
  const blood = value < open * 0.08 ? 0.2 : 0.02; // a few loops hold red cells
  const matrix = Math.max(0.06, (0.13 + 0.36 * axis + 0.16 * (mesangium - 1)) * (0.5 + grain));
  const membrane = (opening * 0.45 + 0.12) * line(border - wall, 0.55) + 0.16 * line(border, 0.7);
  ink.pas = mix(matrix, blood, lumen) + membrane;
  ink.haematoxylin = mix(0.04 + 0.13 * grain, blood * 0.4, lumen);
  ink.nuclei = lumen > 0.5 && border > wall + 2.2 ? null : NUCLEI.loop;
}

/** The sclerotic part of the tuft: one mass, in which the walls of collapsed loops show as cords. */
function paintMass(x: number, y: number, { noise, density }: Scene): void {
  const swirl = 6 * noise(x / 30, y / 30);
  const cord = 1 - Math.abs(2 * noise(x / 12 + swirl, y / 12) - 1);
  const fibre = noise(x / 5 + swirl, y / 16 - swirl);
  const grain = noise(x / 2.6, y / 2.6);
  const patch = noise(x / 38, y / 38);
  const slit = smoothstep(0.84, 0.96, noise(x / 9, y / 9 + 7)) * smoothstep(0.3, 0.6, patch);
  const body = 0.21 + 0.34 * patch + 0.26 * cord * cord + 0.26 * fibre + 0.22 * grain;
  ink.pas = mix(density * body, 0.05, slit);
  ink.haematoxylin = 0.03 + 0.06 * patch * (1 - slit) + 0.04 * grain;
  ink.nuclei = slit > 0.3 ? null : NUCLEI.mass;
}

/**
 * How the nuclei of a kind of tissue look: how many are tried per 100 µm², their length (µm), width
 * over length, and amount of haematoxylin.
 */
const NUCLEI = {
  tubule: { density: 0.95, length: 6.6, roundness: 0.9, darkness: 0.62 },
  interstitium: { density: 0.55, length: 7.5, roundness: 0.5, darkness: 0.95 },
  lymphocyte: { density: 1.65, length: 5.5, roundness: 0.92, darkness: 1.15 },
  fibrosis: { density: 0.3, length: 10, roundness: 0.28, darkness: 0.85 },
  lining: { density: 0.7, length: 8.5, roundness: 0.32, darkness: 0.8 },
  loop: { density: 1.5, length: 6.8, roundness: 0.72, darkness: 0.85 },
  mass: { density: 0.5, length: 6, roundness: 0.6, darkness: 0.85 },
  podocyte: { density: 1.1, length: 8, roundness: 0.75, darkness: 0.6 },
};

type Nuclei = typeof NUCLEI[keyof typeof NUCLEI];

/** Scatters nuclei where the tissue allows them, without overlaps. */
function scatterNuclei(scene: Scene, random: Random): void {
  const { columns, rows, pixelSize, centreX, centreY } = scene;
  const inflammation = scene.scarring * random.next();
  const tries = Math.round(columns * rows * pixelSize ** 2 / 100 * 3);
  const placed: { x: number; y: number; reach: number }[] = [];
  for (let n = 0; n < tries; n++) {
    const [x, y] = [random.integer(columns), random.integer(rows)];
    look(scene, x, y);
    let { nuclei } = ink;
    if (nuclei === NUCLEI.interstitium && random.next() < inflammation) nuclei = NUCLEI.lymphocyte;
    if (nuclei === null) continue;
    const isInTuft = nuclei === NUCLEI.loop || nuclei === NUCLEI.mass;
    if (random.next() * 3 > nuclei.density * (isInTuft ? scene.cells : 1)) continue;
    const long = nuclei.length * (0.82 + 0.36 * random.next()) / 2 / pixelSize;
    const short = long * Math.min(1, nuclei.roundness * (0.8 + 0.4 * random.next()));
    const reach = (long + short) / 2 * (nuclei === NUCLEI.loop ? 0.9 : 1.1);
    if (placed.some((it) => Math.hypot(it.x - x, it.y - y) < it.reach + reach)) continue;
    placed.push({ x, y, reach });
    const isFlat = nuclei.roundness < 0.4; // it lies along the capsule
    const along = Math.atan2(y - centreY, x - centreX) + Math.PI / 2;
    const angle = isFlat ? along : random.next() * Math.PI;
    const darkness = nuclei.darkness * (0.75 + 0.5 * random.next());
    stampNucleus(scene, { x, y, long, short, angle, darkness });
  }
}

type Nucleus = Record<"x" | "y" | "long" | "short" | "angle" | "darkness", number>;

function stampNucleus(
  { columns, rows, noise, pas, haematoxylin }: Scene,
  { x, y, long, short, angle, darkness }: Nucleus,
): void {
  const reach = Math.ceil(long * 1.35);
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const soft = 0.8 / short;
  for (let j = Math.max(0, y - reach); j <= Math.min(rows - 1, y + reach); j++) {
    for (let i = Math.max(0, x - reach); i <= Math.min(columns - 1, x + reach); i++) {
      const a = ((i - x) * cos + (j - y) * sin) / long;
      const b = ((j - y) * cos - (i - x) * sin) / short;
      const r = Math.sqrt(a * a + b * b) + 0.35 * (noise(a / 1.6 + x, b / 1.6 + y) - 0.5);
      const share = smoothstep(1 + soft, 1 - soft, r);
      if (share === 0) continue;
      const chromatin = 0.47 + 0.6 * noise(a * 1.6 + x, b * 1.6 + y);
      const amount = darkness * (chromatin + 0.25 * smoothstep(0.55, 0.95, r));
      const at = j * columns + i;
      haematoxylin[at] = mix(haematoxylin[at]!, amount, share);
      pas[at] = mix(pas[at]!, 0.12, share * 0.85);
    }
  }
}

/**
 * The picture a camera sees through the stained section: light falls off with the sum of the
 * stains' optical densities (Beer-Lambert). On the way things go wrong: the section is uneven on
 * every crop; a few show a fold, the edge of the tissue, or far too much or too little stain.
 *
 * @returns RGB, [rows, columns, 3].
 */
function develop(scene: Scene, stain: Stain, random: Random): Uint8ClampedArray {
  const { columns, noise } = scene;
  const fold = random.next() < 0.05 ? drawLine(scene, random, 0.35) : null;
  const edge = random.next() < 0.07 ? drawLine(scene, random, 0.75) : null;
  const bad = random.next() < 0.08 ? (random.next() < 0.5 ? 0.5 : 1.5) : 1;
  const thickness = Math.max(0.5, 1 + 0.12 * random.normal());
  const strengthOfPas = bad * Math.max(0.5, 1 + 0.2 * random.normal());
  const strengthOfHaematoxylin = bad * (1 + 0.1 * random.normal());
  const pixels = new Uint8ClampedArray(scene.pas.length * 3);
  for (let at = 0; at < scene.pas.length; at++) {
    const i = at % columns;
    const j = (at - i) / columns;
    const cloud = noise(i / 210 + scene.offset, j / 210);
    let amount = thickness * (0.82 + 0.36 * cloud);
    if (fold) amount *= 1 + 1.1 * smoothstep(13, 10, Math.abs(fold(i, j) + 20 * (cloud - 0.5)));
    if (edge) amount *= smoothstep(1, -1, edge(i, j) + 30 * (noise(j / 60, i / 60) - 0.5));
    const pas = scene.pas[at]! * amount;
    const haematoxylin = scene.haematoxylin[at]! * amount + stain.haze * Math.min(1, 2 * pas);
    for (let c = 0; c < 3; c++) {
      const density = pas * strengthOfPas * stain.pas[c]! +
        haematoxylin * strengthOfHaematoxylin * stain.haematoxylin[c]!;
      pixels[at * 3 + c] = stain.white[c]! * Math.exp(-Math.LN10 * density);
    }
  }
  return pixels;
}

/** Signed distance, in pixels, from a random line; `reach` is how far from the centre it passes. */
function drawLine({ columns, rows }: Scene, random: Random, reach: number): Distance {
  const angle = random.next() * 2 * Math.PI;
  const offset = reach * Math.min(columns, rows) / 2 * (0.8 + 0.3 * random.next());
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return (i, j) => (i - columns / 2) * cos + (j - rows / 2) * sin - offset;
}

/** Entries along the side of the tables of a texture, which repeat; a power of two. */
const SIDE = 256;

/** Draws the texture that all crops are painted with; it takes about 50 ms. */
function createTexture(random: Random) {
  const sum = new Float32Array(SIDE * SIDE);
  const ease = (t: number) => Math.floor(t) + smoothstep(0, 1, t - Math.floor(t));
  // Value noise of four octaves, tabulated once so that a look-up costs a few nanoseconds.
  for (const [cell, weight] of [[8, 0.5], [4, 0.27], [2, 0.15], [1, 0.08]] as const) {
    const side = SIDE / cell;
    const lattice = Float32Array.from({ length: side * side }, () => random.next());
    for (let at = 0; at < sum.length; at++) {
      const [x, y] = [at % SIDE / cell, Math.floor(at / SIDE) / cell];
      sum[at]! += weight * between(lattice, side, ease(x), ease(y));
    }
  }
  // Sums of uniform values crowd around 0.5; this spreads them over [0, 1] again.
  const table = sum.map((value) => clamp(0.5 + (value - 0.5) * 1.7));
  const points = Float32Array.from({ length: 3 * SIDE * SIDE }, () => random.next());
  return {
    // Smooth, in [0, 1], with a mean near 0.5; features are about one unit (8 entries) wide.
    // Turned, so that the lattice underneath does not show as level and upright lines.
    noise: (x: number, y: number) =>
      between(table, SIDE, (0.8 * x - 0.6 * y) * 8, (0.6 * x + 0.8 * y) * 8),
    cell: (x: number, y: number) => findCell(points, x, y),
  };
}

// Of the two points nearest to a place: their distances, half of whose difference is about the way
// to their border, and a value in [0, 1) that belongs to the nearest. Filled anew each time.
const CELL = { first: 0, second: 0, value: 0 };

/**
 * Worley noise: irregularly spread points, one a unit of area.
 *
 * @param points x, y and value of the point in each square of the grid, 0 to 1.
 */
function findCell(points: Float32Array, x: number, y: number) {
  const [column, row] = [Math.floor(x), Math.floor(y)];
  let [first, second, nearest] = [Infinity, Infinity, 0];
  for (let j = row - 1; j <= row + 1; j++) {
    for (let i = column - 1; i <= column + 1; i++) {
      const at = 3 * ((j & SIDE - 1) * SIDE + (i & SIDE - 1));
      const dx = i + 0.1 + 0.8 * points[at]! - x;
      const dy = j + 0.1 + 0.8 * points[at + 1]! - y;
      const squared = dx * dx + dy * dy;
      if (squared < first) {
        second = first;
        first = squared;
        nearest = at;
      } else if (squared < second) second = squared;
    }
  }
  CELL.first = Math.sqrt(first);
  CELL.second = Math.sqrt(second);
  CELL.value = points[nearest + 2]!;
  return CELL;
}

/** Interpolates in a square table that repeats; its side is a power of two. */
function between(table: Float32Array, side: number, x: number, y: number): number {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const column = left & side - 1;
  const next = left + 1 & side - 1;
  const row = (top & side - 1) * side;
  const below = (top + 1 & side - 1) * side;
  const a = table[row + column]!;
  const b = table[below + column]!;
  const upper = a + (table[row + next]! - a) * (x - left);
  const lower = b + (table[below + next]! - b) * (x - left);
  return upper + (lower - upper) * (y - top);
}

const clamp = (value: number) => value < 0 ? 0 : value > 1 ? 1 : value;

/** 0 below `low`, 1 above `high`, smooth between; with `low` > `high` it falls instead. */
function smoothstep(low: number, high: number, value: number): number {
  const t = clamp((value - low) / (high - low));
  return t * t * (3 - 2 * t);
}

/** From `a` (share 0) to `b` (share 1), exact at both ends. */
const mix = (a: number, b: number, share: number) => a * (1 - share) + b * share;

/** The smaller of two distances, with the corner between them rounded over `round`. */
function smoothMinimum(a: number, b: number, round: number): number {
  const corner = Math.max(round - Math.abs(a - b), 0) / round;
  return Math.min(a, b) - corner * corner * round / 4;
}

/** A soft line: 1 on it, falling off over `width` on both sides. */
function line(distance: number, width: number): number {
  const t = distance / width;
  return 1 / (1 + t * t * t * t);
}
