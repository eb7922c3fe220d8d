import { ProjectError } from "./errors.ts";

/** Where long work says what it is doing. */
export type StatusLine = ReturnType<typeof statusLine>;

/** Away from a terminal, a line of {@linkcode StatusLine.update} at most this often. */
const QUIET_MS = 20_000;

const encoder = new TextEncoder();

/** The process's own terminal, or what stands in its place. */
const terminal = {
  isTerminal: Deno.stdout.isTerminal(),
  write: (text: string): void => {
    // A pipe may take a long text in pieces.
    let bytes = encoder.encode(text);
    while (bytes.length > 0) bytes = bytes.subarray(Deno.stdout.writeSync(bytes));
  },
  columns: (): number => {
    try {
      return Deno.consoleSize().columns || 80;
    } catch {
      return 80;
    }
  },
  /** A clock, in milliseconds. */
  now: (): number => performance.now(),
};

/**
 * A status line: on a terminal one line that is written over; in a pipe or a log an ordinary line,
 * but only every 20 seconds, so that it shows that work goes on and stays readable.
 */
export function statusLine(change: Partial<typeof terminal> = {}) {
  const target = { ...terminal, ...change };
  let shown = false;
  let lastWritten = target.now();
  const clear = () => shown ? "\r\x1b[2K" : "";
  const print = (text: string) => {
    target.write(`${clear()}${text}\n`);
    shown = false;
    lastWritten = target.now();
  };
  return {
    /** Shows what is going on now. It gives way to the next one. */
    update(text: string): void {
      const line = printable(text);
      if (target.isTerminal) {
        target.write(`${clear()}${shorten(line, target.columns() - 1)}`);
        shown = true;
      } else if (target.now() - lastWritten >= QUIET_MS) {
        target.write(`${shorten(line, 120)}\n`);
        lastWritten = target.now();
      }
    },
    /** A finished step: a line in a pipe or a log; on a terminal the live line has shown it. */
    log(text: string): void {
      if (!target.isTerminal) print(text);
    },
    /** A line that stays. */
    print,
  };
}

/** Text without what could move a terminal's cursor or change its colours. */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, "").replace(/[\x00-\x1f\x7f-\x9f]/g, " ");
}

function shorten(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join("")}…`;
}

/** A duration in words: `0.4 s`, `12 s`, `3 min 5 s`, `1 h 2 min`. */
export function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

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
