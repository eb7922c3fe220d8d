import { ConfigError } from "../lib/core/errors.ts";
import { runMain } from "../lib/core/terminal.ts";
import { parseFolderArguments } from "./arguments.ts";
import { later, setUp } from "./setup.ts";

const USAGE = `deno task parity DIR [--run NAME] [--most N]

Predicts the images under DIR with the model of a run, here and with Python Keras from the run's
model.keras, and prints the largest difference of a probability. Ends with an error where it is
larger than the tolerance on the model's card.

  --run NAME   the run whose model is used (default: "default")
  --most N     compare the first N images only (default: 1000)`;

/** Reads the arguments; `null` when only help is wanted. Relative paths are meant from `cwd`. */
export function parseParityArguments(args: string[], cwd: string) {
  const text = { type: "string" } as const;
  const parsed = parseFolderArguments(args, cwd, USAGE, { run: text, most: text });
  if (parsed === null) return null;
  const { folder, values: { run = "default", most = "1000" } } = parsed;
  if (!/^[1-9]\d{0,8}$/.test(most)) {
    throw new ConfigError(`--most ${most}: a whole number from 1 is needed.`, USAGE);
  }
  return { folder, run, most: Number(most) };
}

if (import.meta.main) {
  await runMain(async () => {
    const request = parseParityArguments(Deno.args, Deno.env.get("INIT_CWD") ?? Deno.cwd());
    if (request === null) return void console.log(USAGE);
    await setUp({ sampleImages: false });
    const path = "tools/measure_parity.ts";
    return await (await later<typeof import("./measure_parity.ts")>(path)).parity(request);
  });
}
