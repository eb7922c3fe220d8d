import sharp from "sharp";
import { nativeBackend, tf } from "./tensorflow.ts";

/** Versions of what decides a result, by name: for notebook 01 and the model card. */
export function versions(): Record<string, string> {
  return {
    deno: Deno.version.deno,
    tensorflow: nativeBackend().binding.TF_Version,
    tfjs: tf.version["tfjs-core"],
    sharp: sharp.versions.sharp ?? "unknown",
    libvips: sharp.versions.vips,
  };
}

/** What the computer offers, as rows of a table. */
export function environment(): { name: string; value: string }[] {
  const gigabytes = (Deno.systemMemoryInfo().total / 1e9).toFixed(0);
  return [
    ...Object.entries(versions()).map(([name, value]) => ({ name, value })),
    {
      name: "computes on",
      value: nativeBackend().isUsingGpuDevice ? "GPU (CUDA)" : "CPU",
    },
    { name: "processor cores", value: String(navigator.hardwareConcurrency) },
    { name: "memory", value: `${gigabytes} GB` },
    { name: "system", value: `${Deno.build.os} ${Deno.build.arch}` },
  ];
}
