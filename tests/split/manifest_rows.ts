import type { ManifestRow } from "../../lib/run/manifest.ts";

/** A usable image; without a group it is its own. */
export function manifestRow(i: number, positive: boolean, group?: string): ManifestRow {
  const label = positive ? "sclerotic" : "non";
  const path = `${label}/${String(i).padStart(5, "0")}.png`;
  return {
    path,
    label,
    group: group ?? path,
    sha256: i.toString(16).padStart(64, "0"),
    dhash: i.toString(16).padStart(16, "0"),
    ...{ width: 700, height: 730, channels: 4, format: "png", status: "ok" },
  };
}
