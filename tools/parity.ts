import { ConfigError } from "../lib/core/errors.ts";
import { runPaths } from "../lib/core/paths.ts";
import { runMain } from "../lib/core/terminal.ts";
import { parseFolderArguments } from "./arguments.ts";
import { later, setUp } from "./setup.ts";

const USAGE = `deno task parity DIR [--run NAME] [--most N]

Predicts the images under DIR with the model of a run, here and with Python Keras from the run's
model.keras, and prints the largest difference of a probability. Ends with an error where it is
larger than the tolerance on the model's card.

  --run NAME   the run whose model is used (default: "default")
  --most N     compare the first N images only (default: 1000)`;

/** What the command line asks for. */
interface Request {
  folder: string;
  run: string;
  most: number;
}

/** Reads the arguments; `null` when only help is wanted. Relative paths are meant from `cwd`. */
export function parseParityArguments(args: string[], cwd: string): Request | null {
  const parsed = parseFolderArguments(args, cwd, USAGE, {
    run: { type: "string" },
    most: { type: "string" },
  });
  if (parsed === null) return null;
  const { folder, values: { run = "default", most = "1000" } } = parsed;
  if (!/^[1-9]\d{0,8}$/.test(most)) {
    throw new ConfigError(`--most ${most}: a whole number from 1 is needed.`, USAGE);
  }
  return { folder, run, most: Number(most) };
}

/** Returns the exit code. */
async function parity({ run, folder, most }: Request): Promise<number> {
  const { parseConfig } = await later<typeof import("../lib/core/config.ts")>("lib/core/config.ts");
  const { showProgress } = await later<typeof import("../lib/show/display.ts")>(
    "lib/show/display.ts",
  );
  const { measureParity } = await later<typeof import("./measure_parity.ts")>(
    "tools/measure_parity.ts",
  );
  const modelFolder = runPaths(parseConfig({ run }).run).model;
  const onProgress = showProgress("Predicting");
  const result = await measureParity({ folder, modelFolder, most, onProgress });
  const { images, unreadable, difference, worst, tolerance, kerasVersion } = result;
  const isWithin = difference <= tolerance;
  console.log(
    `${images} images compared with Keras ${kerasVersion} (${unreadable} could not be read).\n` +
      `Largest difference of a probability: ${difference.toExponential(2)}, in ` +
      `${JSON.stringify(worst)}: ${
        isWithin ? "within" : "MORE THAN"
      } the ${tolerance} on the card.`,
  );
  return isWithin ? 0 : 1;
}

if (import.meta.main) {
  await runMain(async () => {
    const request = parseParityArguments(Deno.args, Deno.env.get("INIT_CWD") ?? Deno.cwd());
    if (request === null) return void console.log(USAGE);
    await setUp({ sampleImages: false });
    return await parity(request);
  });
}
