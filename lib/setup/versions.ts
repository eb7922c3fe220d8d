import sharp from "sharp";
import { tf } from "./tensorflow.ts";

/** Versions of what decides a result, by name: for notebook 01 and the model card. */
export function versions(): Record<string, string> {
  return {
    deno: Deno.version.deno,
    typescript: Deno.version.typescript,
    "tfjs-node-gpu": tf.version["tfjs-node"],
    sharp: sharp.versions.sharp ?? "unknown",
    libvips: sharp.versions.vips,
  };
}
