import assert from "node:assert/strict";
import { join } from "node:path";
import { projectRoot } from "../../lib/core/paths.ts";
import { textLines } from "../../lib/core/python.ts";
import { createRandom } from "../../lib/core/random.ts";
import type { HistoryRow } from "../../lib/run/history.ts";
import { inFolder } from "../data/test_images.ts";
import { toyImages } from "./toy.ts";

const KILLS = 20;

/** What the child prints at its end. */
interface Result {
  history: Omit<HistoryRow, "seconds">[];
  events: unknown[];
  bestEpoch: number;
}

/** Starts the child. */
function train(folder: string, checkpoints: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--no-check", "--config", join(projectRoot, "deno.json")],
      ...[join(import.meta.dirname!, "kill_child.ts"), folder, checkpoints],
    ],
    env: { TF_CPP_MIN_LOG_LEVEL: "3" },
    stdout: "piped",
    stderr: "null",
  }).spawn();
}

/** Trains to the end, in as many lives as it takes, and counts the kills during the training. */
async function trainKilled(folder: string): Promise<{ result: Result; kills: number }> {
  const random = createRandom("kills");
  for (let kills = 0;;) {
    const child = train(folder, "killed");
    const early = random.next() < 0.1; // while it starts: there is nothing to lose, nor to spoil
    let timer = early && kills < KILLS
      ? setTimeout(() => child.kill("SIGKILL"), 2000 * random.next())
      : 0;
    let [result, begun]: [Result | null, boolean] = [null, false];
    for await (const line of textLines(child.stdout)) {
      if (line === "begun") {
        begun = true;
        if (!timer && kills < KILLS) {
          timer = setTimeout(() => child.kill("SIGKILL"), 400 * random.next());
        }
      } else if (line.startsWith("{")) result = JSON.parse(line);
    }
    clearTimeout(timer);
    const { signal } = await child.status;
    if (result) return { result, kills };
    assert.equal(signal, "SIGKILL", "the child ends by the kill alone");
    if (begun) kills += 1;
  }
}

Deno.test("fit() killed at 20 random moments ends with the history of one never killed", () =>
  inFolder(async (folder) => {
    const items = {
      train: await toyImages(folder, 20, 1),
      validation: await toyImages(folder, 6, 2),
    };
    await Deno.writeTextFile(join(folder, "items.json"), JSON.stringify(items));
    const whole = train(folder, "whole");
    const lines = await Array.fromAsync(textLines(whole.stdout));
    assert.ok((await whole.status).success);
    const expected: Result = JSON.parse(lines.at(-1)!);
    assert.equal(expected.history.length, 60);

    const { result, kills } = await trainKilled(folder);
    assert.equal(kills, KILLS, "the training lasts longer than the kills");
    assert.deepEqual(result.events, expected.events);
    assert.equal(result.bestEpoch, expected.bestEpoch);
    assert.equal(result.history.length, 60);
    for (const [index, row] of result.history.entries()) {
      for (const [name, value] of Object.entries(row)) {
        const other = expected.history[index]![name as keyof typeof row]!;
        assert.ok(
          Math.abs(value! - other) <= 1e-4,
          `epoch ${row.epoch} ${name}: ${value}, ${other}`,
        );
      }
    }
  }));
