/**
 * Lines for a message, one below the other; of many the first ones, and how many more there are.
 *
 * @returns Begins with a line break.
 * @example
 * ```ts
 * listLines(["a.png", "b.png", "c.png"], 2); // "\n  - a.png\n  - b.png\n  … and 1 more"
 * ```
 */
export function listLines(lines: readonly string[], most = 20): string {
  const shown = lines.slice(0, most).map((line) => `\n  - ${line}`).join("");
  return lines.length > most ? `${shown}\n  … and ${lines.length - most} more` : shown;
}
