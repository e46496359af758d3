// Which lines two texts share, for showing them side by side.

export interface Line {
  readonly number: number;
  readonly text: string;
  readonly shared: boolean;
}

/** One row of the comparison; a missing side is a gap. */
export type LinePair = readonly [mine: Line | undefined, theirs: Line | undefined];

/** Above this many comparisons everything between the common ends counts as changed. */
const COMPARISONS = 4_000_000;

export function lineDiff(mine: string, theirs: string): LinePair[] {
  const ours = mine.split("\n");
  const others = theirs.split("\n");
  const matches = longestCommon(ours, others);
  const pairs: LinePair[] = [];
  let [left, right] = [0, 0];
  for (const [nextLeft, nextRight] of [...matches, [ours.length, others.length] as const]) {
    while (left < nextLeft || right < nextRight) {
      const one = left < nextLeft ? line(ours, left++, false) : undefined;
      const other = right < nextRight ? line(others, right++, false) : undefined;
      pairs.push([one, other]);
    }
    if (left < ours.length && right < others.length) {
      pairs.push([line(ours, left++, true), line(others, right++, true)]);
    }
  }
  return pairs;
}

function line(lines: readonly string[], index: number, shared: boolean): Line {
  return { number: index + 1, text: lines[index] ?? "", shared };
}

/** Pairs of indices of lines that stand in both, in order. */
function longestCommon(one: readonly string[], other: readonly string[]): [number, number][] {
  let start = 0;
  while (start < one.length && start < other.length && one[start] === other[start]) start += 1;
  let tail = 0;
  while (
    tail < Math.min(one.length, other.length) - start &&
    one.at(-1 - tail) === other.at(-1 - tail)
  ) {
    tail += 1;
  }
  const matches: [number, number][] = Array.from({ length: start }, (_, index) => [index, index]);
  matches.push(
    ...middle(one.slice(start, one.length - tail), other.slice(start, other.length - tail)).map(
      ([left, right]): [number, number] => [left + start, right + start],
    ),
  );
  for (let back = tail; back > 0; back -= 1) {
    matches.push([one.length - back, other.length - back]);
  }
  return matches;
}

function middle(one: readonly string[], other: readonly string[]): [number, number][] {
  const width = other.length + 1;
  if (one.length * other.length > COMPARISONS) return [];
  const lengths = new Uint32Array((one.length + 1) * width);
  const at = (left: number, right: number) => lengths[left * width + right] ?? 0;
  for (let left = one.length - 1; left >= 0; left -= 1) {
    for (let right = other.length - 1; right >= 0; right -= 1) {
      lengths[left * width + right] =
        one[left] === other[right]
          ? at(left + 1, right + 1) + 1
          : Math.max(at(left + 1, right), at(left, right + 1));
    }
  }
  const matches: [number, number][] = [];
  let [left, right] = [0, 0];
  while (left < one.length && right < other.length) {
    if (one[left] === other[right]) matches.push([left++, right++]);
    else if (at(left + 1, right) >= at(left, right + 1)) left += 1;
    else right += 1;
  }
  return matches;
}
