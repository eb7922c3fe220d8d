/** Information in the format of Abseil's log, and what is said before its first line. */
const GREETING =
  /^(I\d{4} [\d:.]+ |WARNING: All log messages before absl::|To enable the following instructions: )/;

/**
 * Runs what loads a native library, without what that writes to the terminal as information.
 * TensorFlow greets everyone at every start with lines that begin with "WARNING", and no variable
 * silences them. Everything else it writes, such as errors, comes after the work.
 *
 * Where the C library cannot be reached, or `TF_CPP_MIN_LOG_LEVEL` is 0, all is written as it comes.
 */
export async function withoutGreeting<T>(work: () => Promise<T>): Promise<T> {
  const restore = Deno.env.get("TF_CPP_MIN_LOG_LEVEL") === "0" ? null : await divertStderr();
  try {
    return await work();
  } finally {
    const text = await restore?.() ?? "";
    const lines = text.split("\n").filter((line) => !GREETING.test(line)).join("\n");
    if (lines !== "") await Deno.stderr.write(new TextEncoder().encode(lines));
  }
}

const STDERR = 2;

/** Standard error goes to a file until the function returned is called, which gives what came. */
async function divertStderr(): Promise<(() => Promise<string>) | null> {
  if (Deno.build.os !== "linux") return null;
  let libc;
  try {
    libc = Deno.dlopen("libc.so.6", {
      creat: { parameters: ["buffer", "u32"], result: "i32" },
      dup: { parameters: ["i32"], result: "i32" },
      dup2: { parameters: ["i32", "i32"], result: "i32" },
      close: { parameters: ["i32"], result: "i32" },
    });
  } catch {
    return null; // another C library: then it stays as it is
  }
  const { creat, dup, dup2, close } = libc.symbols;
  const path = await Deno.makeTempFile();
  const file = creat(new TextEncoder().encode(`${path}\0`), 0o600);
  const terminal = dup(STDERR);
  const isDiverted = file >= 0 && terminal >= 0 && dup2(file, STDERR) >= 0;
  if (file >= 0) close(file);
  return async () => {
    if (isDiverted) dup2(terminal, STDERR);
    if (terminal >= 0) close(terminal);
    libc.close();
    const text = await Deno.readTextFile(path);
    await Deno.remove(path);
    return text;
  };
}
