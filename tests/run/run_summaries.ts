import { parseConfig } from "../../lib/core/config.ts";
import type { ConfigInput } from "../../lib/core/settings.ts";
import type { HistoryRow } from "../../lib/run/history.ts";
import type { RunSummary } from "../../lib/run/run.ts";

/** A history whose validation losses are these; the AUC is 1 minus a tenth of the loss. */
export function historyOf(losses: readonly number[]): HistoryRow[] {
  return losses.map((val_loss, index) => ({
    epoch: index + 1,
    loss: val_loss / 2,
    accuracy: 0.9,
    auc: 0.95,
    val_loss,
    val_accuracy: 0.8,
    val_auc: 1 - val_loss / 10,
    learning_rate: 1e-4,
    seconds: 2,
  }));
}

/** A trained run; by default of split "aaaa…" with the losses 0.5 and 0.4, of which the last is kept. */
export function runSummary(
  run: string,
  { losses = [0.5, 0.4], split = "a", config = {}, test = null }: {
    losses?: readonly number[];
    /** One letter of its hash. */
    split?: string;
    config?: ConfigInput;
    test?: RunSummary["test"];
  } = {},
): RunSummary {
  const history = historyOf(losses);
  return {
    run,
    config: parseConfig(config),
    splitSha256: split.repeat(64),
    history,
    best: history.reduce((best, row) => row.val_loss < best.val_loss ? row : best),
    stoppedEarly: false,
    test,
  };
}
