import { join } from "node:path";
import { auditCounts, type AuditPolicies } from "../data/audit_policy.ts";
import type { Finding, FindingKind } from "../data/findings.ts";
import { images } from "../in_words.ts";
import type { Displayable } from "./displayable.ts";
import { imageGrid } from "./image_grid.ts";
import { imagePairs } from "./image_pairs.ts";

/** Of each kind so many pictures are shown, taken evenly from the first to the last. */
const MOST_IMAGES = 10;
const MOST_PAIRS = 6;

/** Kinds of which there is nothing to see, or that the person decided. */
const NO_PICTURE: readonly FindingKind[] = [
  "unreadable",
  "left_out_by_labels",
  "case_collision",
  "skipped",
];

/** The findings that are not pictures: files that cannot be shown, or that concern no image. */
export function withoutPicture(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ finding }) => NO_PICTURE.includes(finding));
}

/**
 * What the audit found, as pictures: a strip for each kind of finding about one image, with the
 * measured values, and pairs side by side where two images show the same. Kinds whose policy is
 * `keep` are left to audit.csv.
 *
 * @param folder Absolute path of the data folder.
 * @param findings All of them; of each kind a few are shown.
 * @param audit `config.data.audit`.
 * @returns One a kind, in the order of the policies' table.
 */
export async function auditPictures(
  { folder, findings, audit }: {
    folder: string;
    findings: readonly Finding[];
    audit: AuditPolicies;
  },
): Promise<Displayable[]> {
  const figures: Displayable[] = [];
  for (const { finding: kind, meaning, policy } of auditCounts(findings, audit)) {
    if (policy === "keep" || NO_PICTURE.includes(kind)) continue;
    const own = findings.filter(({ finding }) => finding === kind);
    const use = policy === "drop" ? "left out" : "used";
    const head = `${kind.replaceAll("_", " ")} · ${meaning} · ${use}`;
    figures.push(
      own.every(({ other_path }) => other_path !== "")
        ? await drawPairs(folder, eachPairOnce(own), head)
        : await drawStrip(folder, own, head),
    );
  }
  return figures;
}

async function drawStrip(
  folder: string,
  findings: readonly Finding[],
  head: string,
): Promise<Displayable> {
  const shown = evenly(findings, MOST_IMAGES);
  const items = shown.map(({ path, detail }) => ({
    path: join(folder, path),
    caption: `${detail} ${path}`,
  }));
  const title = `${head} · ${images(findings.length)}${of(shown, findings)}`;
  return await imageGrid(items, { title });
}

async function drawPairs(
  folder: string,
  findings: readonly Finding[],
  head: string,
): Promise<Displayable> {
  const shown = evenly(findings, MOST_PAIRS);
  const pairs = shown.map(({ path, other_path, detail }) => ({
    left: { path: join(folder, path), caption: path },
    right: { path: join(folder, other_path), caption: other_path },
    note: detail,
  }));
  const count = `${findings.length} pair${findings.length === 1 ? "" : "s"}`;
  return await imagePairs(pairs, { title: `${head} · ${count}${of(shown, findings)}` });
}

function of(shown: readonly Finding[], all: readonly Finding[]): string {
  return shown.length < all.length ? `, ${shown.length} shown` : "";
}

/** Two images can be named in both directions. */
function eachPairOnce(findings: readonly Finding[]): Finding[] {
  const pairs = new Map(
    findings.toReversed().map((finding) => [
      JSON.stringify([finding.path, finding.other_path].sort()),
      finding,
    ]),
  );
  return [...pairs.values()].reverse();
}

function evenly<T>(items: readonly T[], most: number): T[] {
  const count = Math.min(items.length, most);
  return Array.from({ length: count }, (_, i) => items[Math.floor(i * items.length / count)]!);
}
