import { ProjectError } from "../errors.ts";

/**
 * Runs a command to its end and leaves the process with its exit code: 1 when it throws. A
 * {@linkcode ProjectError} is shown as the message it is, anything else with its stack.
 *
 * @param command May return an exit code; none is 0.
 */
export async function runMain(command: () => Promise<number | void>): Promise<never> {
  try {
    Deno.exit(await command() ?? 0);
  } catch (error) {
    console.error(error instanceof ProjectError ? `\n${error.message}` : error);
    Deno.exit(1);
  }
}
