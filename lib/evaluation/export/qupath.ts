import { writeAll, writeAtomicWith } from "../../files.ts";
import type { EvaluatedImage } from "../judge.ts";
import type { SlidePlace } from "./sidecar.ts";

/** Of classes in QuPath: colours that colour-blind people tell apart (Okabe and Ito), red to blue. */
const COLOURS = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0]];

/**
 * Writes the classified crops as rectangles on their slides, which QuPath reads (File > Import
 * objects from file): one GeoJSON file a slide, since QuPath imports into the slide that is open.
 * Memory grows with the number of places.
 *
 * @param fileOf The path of a slide's file.
 * @returns The files, and the images that have no place.
 */
export async function writeQupath(
  images: AsyncIterable<EvaluatedImage>,
  places: ReadonlyMap<string, SlidePlace>,
  classes: readonly string[],
  fileOf: (slide: string) => string,
): Promise<{ files: string[]; withoutPlace: number }> {
  const features = new Map<string, string[]>(); // by slide
  let withoutPlace = 0;
  for await (const image of images) {
    const place = places.get(image.name);
    if (!place) withoutPlace += 1;
    else {
      const ofSlide = features.get(place.slide) ?? [];
      features.set(place.slide, ofSlide);
      ofSlide.push(JSON.stringify(feature(image, place, classes)));
    }
  }
  const files: string[] = [];
  for (const [slide, ofSlide] of features) {
    const path = fileOf(slide);
    await writeCollection(path, ofSlide);
    files.push(path);
  }
  return { files, withoutPlace };
}

/** A crop as an annotation (QuPath 0.4 or later). */
function feature(
  { name, predicted, probability, confidence, decision }: EvaluatedImage,
  { x, y, width, height }: SlidePlace,
  classes: readonly string[],
): object {
  const [right, bottom] = [x + width, y + height];
  return {
    type: "Feature",
    geometry: {
      type: "Polygon",
      coordinates: [[[x, y], [right, y], [right, bottom], [x, bottom], [x, y]]],
    },
    properties: {
      objectType: "annotation",
      name,
      classification: {
        name: predicted,
        color: COLOURS[classes.indexOf(predicted) % COLOURS.length],
      },
      measurements: { probability, confidence },
      metadata: { decision },
    },
  };
}

async function writeCollection(path: string, features: readonly string[]): Promise<void> {
  const encoder = new TextEncoder();
  await writeAtomicWith(path, async (file) => {
    await writeAll(file, encoder.encode('{"type":"FeatureCollection","features":[\n'));
    for (const [i, text] of features.entries()) {
      await writeAll(file, encoder.encode(i === 0 ? text : `,\n${text}`));
    }
    await writeAll(file, encoder.encode("\n]}\n"));
  });
}
