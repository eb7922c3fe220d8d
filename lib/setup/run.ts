import { runMain } from "./main.ts";
import { checkFolders, parseRunOptions, RUN_HELP } from "./run_options.ts";
import { setUp } from "./setup.ts";

/**
 * `deno task run`: set up, then execute the notebooks. Only what needs no packages is imported
 * before the set-up.
 *
 * @returns The exit code.
 */
async function run(): Promise<number> {
  const options = parseRunOptions(Deno.args, Deno.env.get("INIT_CWD") ?? Deno.cwd());
  if (options.help) {
    console.log(RUN_HELP);
    return 0;
  }
  await checkFolders(options);
  await setUp({
    sampleImages: options.data === undefined || options.new === undefined,
    afterPackages: async () => {
      const { buildOverrides }: typeof import("./overrides.ts") = await import(
        import.meta.resolve("./overrides.ts")
      );
      buildOverrides(options);
    },
  });
  const { runAndSummarise }: typeof import("./run_and_summarise.ts") = await import(
    import.meta.resolve("./run_and_summarise.ts")
  );
  return await runAndSummarise(options);
}

if (import.meta.main) await runMain(run);
