/**
 * One line on what it means for the scores when nothing says which images belong to one patient or
 * slide; `null` when groups are known.
 */
export function groupWarning(rows: readonly { path: string; group: string }[]): string | null {
  return rows.some(({ path, group }) => path !== group)
    ? null
    : "No groups: one patient may be in both training and test, so scores are likely too good.";
}
