import type { Skipped } from "./list_images.ts";

/** What was passed over: "2 links, 1 file of another type not looked at"; empty: nothing was. */
export function describeSkipped({ hidden, links, otherType }: Skipped): string {
  const parts = [
    [links, "link", "links"],
    [otherType, "file of another type", "files of other types"],
    [hidden, "hidden file", "hidden files"],
  ] as const;
  const some = parts.filter(([n]) => n > 0);
  if (some.length === 0) return "";
  return some.map(([n, one, many]) => `${n} ${n === 1 ? one : many}`).join(", ") + " not looked at";
}
