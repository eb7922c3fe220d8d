/**
 * The percentile of some values, linear between neighbours as `numpy.percentile`, in linear time.
 *
 * @param values At least one; none is NaN. Their order is changed.
 * @param percent 0 to 100.
 */
export function percentile(values: Float64Array, percent: number): number {
  const place = percent / 100 * (values.length - 1);
  const low = Math.floor(place);
  const value = select(values, low);
  if (low === place) return value;
  let next = Infinity;
  for (let i = low + 1; i < values.length; i++) if (values[i]! < next) next = values[i]!;
  return value + (place - low) * (next - value);
}

/** The value that sorting would put at `rank`; smaller ones end before it (C. Hoare's FIND, 1961). */
function select(values: Float64Array, rank: number): number {
  let [left, right] = [0, values.length - 1];
  while (left < right) {
    const pivot = middleOf(values[left]!, values[(left + right) >> 1]!, values[right]!);
    let [i, j] = [left, right];
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i > j) break;
      const value = values[i]!;
      values[i++] = values[j]!;
      values[j--] = value;
    }
    if (rank <= j) right = j;
    else if (rank >= i) left = i;
    else break;
  }
  return values[rank]!;
}

function middleOf(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
