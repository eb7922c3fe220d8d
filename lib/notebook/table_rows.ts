/**
 * Table cells, so many a row, as the HTML of rows. A table, because it is the one layout that every
 * notebook host and mail program keeps.
 */
export function tableRows(cells: readonly string[], columns: number): string {
  return Array.from(
    { length: Math.ceil(cells.length / columns) },
    (_, row) =>
      `<tr style="background:transparent">${
        cells.slice(row * columns, (row + 1) * columns).join("")
      }</tr>`,
  ).join("");
}
