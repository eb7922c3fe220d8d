import { currentKernel, type OnProgress, type ProgressPlace, SETTLE } from "../core/stop.ts";
import { duration, printable, statusLine } from "../core/terminal.ts";
import { createLive, type Displayable, escapeHtml, htmlDisplay } from "./display.ts";

/** Where progress is shown, and how often it may change there, in milliseconds. */
export interface ProgressSink {
  show(state: Displayable, finished: boolean): void;
  interval: number;
}

/**
 * Shows how far long work is: a bar that moves in place in a notebook, one rewritten line in a
 * terminal, a line now and then where output goes to a file. With the place in the work, the speed
 * and the time left; at the end the time taken.
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
 * The logic of {@linkcode showProgress} without its surroundings. A count that falls, or a total
 * that grows, begins a new phase, which is counted from its own start.
 *
 * @param now Milliseconds of a clock that does not go back.
 */
export function createProgress(label: string, sink: ProgressSink, now: () => number): OnProgress {
  let start = now();
  let phase = { done: Infinity, total: 0, start, first: { done: 0, time: 0 } };
  let shownAt = -Infinity;
  return (done, total, note, place) => {
    const time = now();
    if (done < phase.done || total > phase.total) {
      phase = { total, done, start, first: { done, time } };
    }
    phase = { ...phase, total, done };
    const finished = done >= total;
    if (finished) start = time; // of the next phase, if there is one
    if (!finished && time - shownAt < sink.interval) return;
    shownAt = time;
    const { first } = phase; // what was done before it does not count for the speed
    const rate = time > first.time ? 1000 * (done - first.done) / (time - first.time) : 0;
    const seconds = (time - phase.start) / 1000;
    sink.show(progressDisplay({ label, done, total, note, place, rate, seconds }), finished);
  };
}

/** What a progress display says. */
interface ProgressState {
  label: string;
  done: number;
  total: number;
  note?: string | undefined;
  place?: ProgressPlace | undefined;
  /** Units a second; 0: not known yet. */
  rate: number;
  /** Since the work began. */
  seconds: number;
}

/** One state of a progress display. */
export function progressDisplay(state: ProgressState): Displayable {
  const { label, done, total, note, place, rate, seconds } = state;
  const count = `${done.toLocaleString("en-GB")} of ${total.toLocaleString("en-GB")}`;
  const unit = place ? `${place.unit} a second` : "a second";
  const timing = done >= total
    ? `in ${duration(1000 * seconds)}`
    : rate > 0
    ? `${speed(rate)} ${unit}, ${duration(1000 * (total - done) / rate)} left`
    : "";
  const details = [place?.place ?? count, timing, note].filter(Boolean).join(" · ");
  const html = `<div><b>${escapeHtml(label)}</b> <progress value="${done}" ` +
    `max="${Math.max(total, 1)}" style="width:220px"></progress> ${escapeHtml(details)}</div>`;
  return htmlDisplay(html, printable(`${label}: ${details}`));
}

/** Three digits that count: "0.0500", "11.1", "1,240". */
function speed(rate: number): string {
  return rate < 100 ? rate.toPrecision(3) : Math.round(rate).toLocaleString("en-GB");
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
  const line = statusLine({
    isTerminal: Deno.stderr.isTerminal(),
    write: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
    columns: terminalColumns,
    now: () => performance.now(),
  });
  return {
    show: ({ text }, finished) => finished ? line.print(text) : line.update(text),
    interval: 200,
  };
}

function terminalColumns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

/** Stops this thread; the kernel's own goes on sending. */
function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
