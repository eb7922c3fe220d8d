import { isAbsolute, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ConfigError } from "../errors.ts";
import { runMain } from "../setup/main.ts";
import { setUp } from "../setup/setup.ts";

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
  let parsed;
  try {
    parsed = parseArgs({
      args,
      allowPositionals: true,
      options: {
        run: { type: "string", default: "default" },
        out: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (cause) {
    throw new ConfigError(cause instanceof Error ? cause.message : String(cause), USAGE, { cause });
  }
  const { values, positionals } = parsed;
  if (values.help) return null;
  const [folder, ...others] = positionals;
  if (!folder || others.length > 0) {
    throw new ConfigError("One folder of images must be named.", USAGE);
  }
  if (values.out === "") throw new ConfigError("--out needs a file.", USAGE);
  const absolute = (path: string) => isAbsolute(path) ? path : resolve(join(cwd, path));
  return {
    folder: absolute(folder),
    run: values.run,
    out: values.out === undefined ? undefined : absolute(values.out),
  };
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
