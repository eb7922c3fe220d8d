import { resolve } from "node:path";
import { ConfigError } from "../lib/core/errors.ts";
import { runMain } from "../lib/core/terminal.ts";
import { parseFolderArguments } from "./arguments.ts";
import { later, setUp } from "./setup.ts";

const USAGE = `deno task evaluate DIR [--run NAME] [--out FILE] [--force] [--follow-links]
                       [--format NAMES] [--sidecar FILE] [--shard I/N | --merge]

Classifies every image under DIR with the model of a run, as notebook 07 does. Interrupted
(Ctrl-C, or a kill) and run again, it goes on where it ended.

  --run NAME      the run whose model is used (default: "default")
  --out FILE      where to write; details and errors go beside it
                  (default: results/RUN/evaluation.csv)
  --force         overwrite an evaluation of another folder or model
  --follow-links  classify what symbolic links in DIR lead to as well; every folder once
  --format NAMES  other formats beside the CSVs: parquet (the details)
  --sidecar FILE  a CSV of name,x,y,width,height[,slide] that tells where on its slide each crop
                  is: writes annotations for QuPath (.geojson)
  --shard I/N     evaluate part I of N, on this or another machine; every part has batches from
                  the whole of DIR (batch I, I + N, I + 2N … of 32 images)
  --merge         join the parts: the files are those of an undivided evaluation`;

/** What the command line asks for; paths are absolute, `shard` and `format` as they were written. */
export interface EvaluateRequest {
  folder: string;
  followLinks: boolean;
  run: string;
  options: Partial<Record<"out" | "sidecar" | "shard" | "format", string>> & {
    merge?: true;
    force?: true;
  };
}

/** Reads the arguments; `null` when only help is wanted. Relative paths are meant from `cwd`. */
export function parseEvaluateArguments(args: string[], cwd: string): EvaluateRequest | null {
  const text = { type: "string" } as const;
  const yes = { type: "boolean" } as const;
  const parsed = parseFolderArguments(args, cwd, USAGE, {
    ...{ run: text, out: text, shard: text, format: text, sidecar: text },
    ...{ merge: yes, force: yes, "follow-links": yes },
  });
  if (parsed === null) return null;
  const { folder, values: { run = "default", ...options }, switches } = parsed;
  for (const name of ["out", "sidecar"]) {
    if (options[name] === "") throw new ConfigError(`--${name} needs a file.`, USAGE);
    if (options[name] !== undefined) options[name] = resolve(cwd, options[name]);
  }
  const joins = switches.has("merge") || "format" in options || "sidecar" in options;
  if ("shard" in options && joins) {
    throw new ConfigError(
      "--shard evaluates a part; --merge, --format and --sidecar are for joining the parts.",
      USAGE,
    );
  }
  return {
    folder,
    followLinks: switches.has("follow-links"),
    run,
    options: {
      ...options,
      ...(switches.has("merge") ? { merge: true } : {}),
      ...(switches.has("force") ? { force: true } : {}),
    },
  };
}

if (import.meta.main) {
  await runMain(async () => {
    const request = parseEvaluateArguments(Deno.args, Deno.env.get("INIT_CWD") ?? Deno.cwd());
    if (request === null) return console.log(USAGE);
    await setUp({ sampleImages: false });
    const path = "tools/evaluate_folder.ts";
    return await (await later<typeof import("./evaluate_folder.ts")>(path)).evaluateFolder(request);
  });
}
