/**
 * The groups, where images share any: a group to every image says no more than no groups.
 *
 * @param groups Patient or slide of each image.
 * @returns `undefined` when they are left out or all different.
 */
export function sharedGroups(groups?: readonly string[]): readonly string[] | undefined {
  return groups && new Set(groups).size < groups.length ? groups : undefined;
}
