import type { OnProgress } from "../progress.ts";
import { type Displayable, htmlDisplay } from "./displayable.ts";
import { escapeHtml } from "./escape_html.ts";
import { currentKernel, SETTLE } from "../kernel.ts";
import { createLive } from "./live.ts";

/** Where progress is shown, and how often it may change there, in milliseconds. */
export interface ProgressSink {
  show(state: Displayable, finished: boolean): void;
  interval: number;
}

/**
 * Shows how far long work is: a bar that moves in place in a notebook, one rewritten line in a
 * terminal, a line now and then where output goes to a file. With the count, the speed and the
 * time left; at the end the time taken.
 *
 * @param label What is being done: "Reading images".
 * @example
 * ```ts
 * const rows = await scan(folder, showProgress("Reading images"));
 * ```
 */
export function showProgress(label: string): OnProgress {
  return createProgress(label, defaultSink(), () => performance.now());
}

/**
 * The logic of {@linkcode showProgress} without its surroundings.
 *
 * @param now Milliseconds of a clock that does not go back.
 */
export function createProgress(label: string, sink: ProgressSink, now: () => number): OnProgress {
  const start = now();
  let shownAt = -Infinity;
  return (done, total, note) => {
    const time = now();
    const finished = done >= total;
    if (!finished && time - shownAt < sink.interval) return;
    shownAt = time;
    sink.show(
      progressDisplay({ label, done, total, note, seconds: (time - start) / 1000 }),
      finished,
    );
  };
}

/** One state of a progress display. */
export function progressDisplay(
  { label, done, total, note, seconds }: {
    label: string;
    done: number;
    total: number;
    note?: string | undefined;
    /** Since the work began. */
    seconds: number;
  },
): Displayable {
  const count = `${done.toLocaleString("en-GB")} of ${total.toLocaleString("en-GB")}`;
  const rate = done / seconds;
  const timing = done >= total
    ? `in ${duration(seconds)}`
    : done > 0 && seconds > 0
    ? `${rate.toPrecision(3)} a second, ${duration((total - done) / rate)} left`
    : "";
  const details = [count, timing, note].filter(Boolean).join(" · ");
  const bar = `<progress value="${done}" max="${
    Math.max(total, 1)
  }" style="width:220px"></progress>`;
  return htmlDisplay(
    `<div><b>${escapeHtml(label)}</b> ${bar} ${escapeHtml(details)}</div>`,
    `${label}: ${details}`,
  );
}

/** A time span in words: "8.4 s", "3 min 20 s", "2 h 5 min". */
function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole % 3600 / 60)} min`;
}

function defaultSink(): ProgressSink {
  const kernel = currentKernel();
  if (kernel) {
    const live = createLive(kernel);
    return {
      show: (state, finished) => {
        live.update(state).catch((error) => console.error("The progress display failed:", error));
        if (finished) pause(SETTLE); // a caller that does not wait would end the cell first
      },
      interval: 200,
    };
  }
  const print = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(text));
  if (Deno.stderr.isTerminal()) {
    return {
      show: ({ text }, finished) => print(`\r\x1b[2K${text}${finished ? "\n" : ""}`),
      interval: 200,
    };
  }
  return { show: ({ text }) => print(`${text}\n`), interval: 15_000 };
}

/** Stops this thread; the kernel's own goes on sending. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
