import type { AdvantageFormula } from '../../src/index.js';

/** Advantages of rewards whose group is `groups[i]`, as plainly as the formula reads. */
export function advantages(
  rewards: ArrayLike<number>,
  groups: ArrayLike<number>,
  o: AdvantageFormula = {},
): number[] {
  const { scale = 'group', baseline = 'mean', epsilon = 1e-4, ddof = 1, clip = [-Infinity, Infinity] } = o;
  const all = Array.from(rewards, (reward, i) => ({ reward, group: groups[i]! }));
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const std = (values: number[]): number => {
    const middle = mean(values);
    return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - ddof));
  };
  const scored = all.filter(({ reward }) => !Number.isNaN(reward));
  return all.map(({ reward, group }, index) => {
    if (Number.isNaN(reward)) return 0;
    const own = scored.filter((other) => other.group === group).map((other) => other.reward);
    if (own.every((value) => value === own[0])) return 0;
    const others = all.filter(
      (other, i) => i !== index && other.group === group && !Number.isNaN(other.reward),
    );
    const difference = reward - (baseline === 'mean' ? mean(own) : mean(others.map((other) => other.reward)));
    const divisor =
      scale === 'none' ? 1 : std(scale === 'group' ? own : scored.map((other) => other.reward)) + epsilon;
    return Math.min(Math.max(difference / divisor, clip[0]), clip[1]);
  });
}
