/** The 97.5 % points of Student's t with 1 to 30 degrees of freedom; beyond, 1.96 + 2.5 / freedom. */
// deno-fmt-ignore
const T = [
  12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
  2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
  2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
];

/**
 * How many independent images tell as much about a share as images that come in groups: those of one
 * patient are alike, so a hundred of them are less than a hundred witnesses.
 *
 * The images, divided by the design effect (the variance of the share between whole groups over that
 * of independent images) and, where groups are few, by the square of t over the normal point, as
 * Korn & Graubard 1998 (Survey Methodology 24:193-201) do; never more than there are.
 *
 * @param groups Images and positive ones of each group, no group empty.
 * @returns The number of images where fewer than two groups, or no differences, say nothing else.
 */
export function effectiveSize(groups: readonly { n: number; positive: number }[]): number {
  const n = groups.reduce((sum, group) => sum + group.n, 0);
  const share = groups.reduce((sum, group) => sum + group.positive, 0) / n;
  const freedom = groups.length - 1;
  if (freedom < 1 || share === 0 || share === 1) return n;
  const squares = groups.reduce((sum, group) => sum + (group.positive - share * group.n) ** 2, 0);
  const between = groups.length / freedom * squares / n ** 2;
  const independent = share * (1 - share) / n;
  const t = T[freedom - 1] ?? 1.96 + 2.5 / freedom;
  const size = n * independent / between * (1.96 / t) ** 2;
  return Math.min(n, size);
}
