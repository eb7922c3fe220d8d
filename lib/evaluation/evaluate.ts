import { resolve } from "node:path";
import { ConfigError } from "../errors.ts";
import { runMain } from "../setup/main.ts";
import { setUp } from "../setup/setup.ts";
import { parseFolderArguments } from "./folder_arguments.ts";

const USAGE = `deno task evaluate DIR [--run NAME] [--out FILE]

Classifies every image under DIR with the model of a run, as notebook 07 does.

  --run NAME   the run whose model is used (default: "default")
  --out FILE   where to write; details and errors go beside it
               (default: results/RUN/evaluation.csv)`;

/** What the command line asks for; paths are absolute. */
interface Request {
  folder: string;
  run: string;
  out: string | undefined;
}

/** Reads the arguments; `null` when only help is wanted. Relative paths are meant from `cwd`. */
export function parseEvaluateArguments(args: string[], cwd: string): Request | null {
  const parsed = parseFolderArguments(args, cwd, USAGE, {
    run: { type: "string" },
    out: { type: "string" },
  });
  if (parsed === null) return null;
  const { folder, values: { run = "default", out } } = parsed;
  if (out === "") throw new ConfigError("--out needs a file.", USAGE);
  return { folder, run, out: out === undefined ? undefined : resolve(cwd, out) };
}

async function evaluate(request: Request): Promise<void> {
  const { readRunConfig } = await import("../config.ts");
  const { evaluateRun } = await import("./evaluate_run.ts");
  const { showProgress } = await import("../notebook/progress.ts");
  const runConfig = await readRunConfig(request.run);
  const config = {
    ...runConfig,
    evaluation: { ...runConfig.evaluation, folder: request.folder },
  };
  const result = await evaluateRun(config, {
    onProgress: showProgress("Classifying"),
    ...(request.out === undefined ? {} : { out: request.out }),
  });
  const review = result.images.filter(({ decision }) => decision === "review").length;
  console.log(
    `${result.images.length} images classified (${review} to review), ` +
      `${result.errors.length} could not be read.\n${result.files.evaluation}`,
  );
}

if (import.meta.main) {
  await runMain(async () => {
    const request = parseEvaluateArguments(Deno.args, Deno.env.get("INIT_CWD") ?? Deno.cwd());
    if (request === null) return console.log(USAGE);
    await setUp({ sampleImages: false });
    await evaluate(request);
  });
}
