import { DeviceArguments, onDevice } from '../device/arguments.js';
import { type DeviceChoice, goesToGpu, work } from '../device/choose.js';
import { type DeviceTensor, deviceTensor } from '../device/tensor.js';
import { invalid, PerceptionError } from '../errors.js';
import type { DeviceHandle, NativeAdvantageOptions } from '../native/binding.js';
import { type Call, runAsync, runSync } from '../native/load.js';
import { target } from './out.js';
import { choice, finiteNumber, offsetsOf, optionsObject, typedArray, wholeNumber } from './validate.js';

export type AdvantageScale = 'group' | 'batch' | 'none';
export type AdvantageBaseline = 'mean' | 'leave-one-out';

const scales: readonly AdvantageScale[] = ['group', 'batch', 'none'];
const baselines: readonly AdvantageBaseline[] = ['mean', 'leave-one-out'];

/** How rewards become advantages. */
export interface AdvantageFormula {
  /** What the difference from the baseline is divided by: the group's standard deviation (GRPO), the batch's, or nothing (Dr. GRPO). Default 'group'. */
  scale?: AdvantageScale;
  /** The group's mean (GRPO), or the mean of the group's other rewards (RLOO). Default 'mean'. */
  baseline?: AdvantageBaseline;
  /** Added to the standard deviation. Default 1e-4, as Perception-R1 and TRL. */
  epsilon?: number;
  /** Degrees of freedom taken off in the variance: 1 divides by n - 1. Default 1. */
  ddof?: 0 | 1;
  /** Bounds that advantages are clipped to. */
  clip?: [low: number, high: number];
}

/** Which rewards belong together; exactly one of the three. */
export interface AdvantageGroups {
  /** Groups are consecutive rewards, this many each. */
  groupSize?: number;
  /** Groups are consecutive rewards: group g is `[groupOffsets[g], groupOffsets[g + 1])`. */
  groupOffsets?: Int32Array;
  /** The group of each reward, as any whole numbers in any order. */
  groupIds?: Int32Array;
}

export interface AdvantageOptions extends AdvantageFormula, AdvantageGroups {}

/** For rewards that are a typed array. */
export interface ArrayAdvantageOptions extends AdvantageOptions, DeviceChoice {
  /** Where the advantages go; allocated where it is left out, which takes longer than they do where there are many. */
  out?: Float32Array;
}

export interface Advantages {
  /** `[n]`, one per reward. */
  advantages: Float32Array;
  /** Mean of each group's scored rewards (NaN where there is none). With `groupIds`, groups are in ascending order of id. */
  mean: Float32Array;
  /** Standard deviation of each group's scored rewards (NaN where there is none, 0 for a single one). */
  std: Float32Array;
}

/** As {@link Advantages}, on a GPU. */
export interface DeviceAdvantages {
  /** float32, in the shape of the rewards. */
  advantages: DeviceTensor;
  /** float32 `[groups]`. */
  mean: DeviceTensor;
  std: DeviceTensor;
}

/** @internal The formula as the add-on takes it. */
export function nativeFormula(formula: AdvantageFormula): NativeAdvantageOptions {
  const epsilon = finiteNumber(formula.epsilon ?? 1e-4, 'epsilon');
  if (epsilon < 0) throw invalid('INVALID_ARGUMENT', 'epsilon', 'a number of at least 0', epsilon);
  const clip = formula.clip ?? [-Infinity, Infinity];
  if (!Array.isArray(clip) || clip.length !== 2 || !(clip[0] <= clip[1])) {
    throw invalid('INVALID_ARGUMENT', 'clip', '[low, high] with low <= high', formula.clip);
  }
  return {
    scale: choice(formula.scale, 'group', scales, 'scale'),
    baseline: choice(formula.baseline, 'mean', baselines, 'baseline'),
    epsilon,
    ddof: wholeNumber(formula.ddof ?? 1, 'ddof', 0, 1),
    clipLow: clip[0],
    clipHigh: clip[1],
  };
}

/** @internal Groups as the add-on takes them: offsets, or a dense group number for each reward. */
export interface NativeGroups {
  byId: boolean;
  groups: Int32Array;
  count: number;
}

/** @internal */
export function nativeGroups(options: AdvantageGroups, length: number): NativeGroups {
  const given = (['groupSize', 'groupOffsets', 'groupIds'] as const).filter(
    (key) => options[key] !== undefined,
  );
  if (given.length !== 1) {
    throw new PerceptionError(
      'INVALID_ARGUMENT',
      `groups: expected exactly one of groupSize, groupOffsets and groupIds, received ${given.join(' and ') || 'none'}`,
    );
  }
  if (options.groupIds !== undefined) {
    const ids = typedArray(options.groupIds, 'groupIds', Int32Array);
    if (ids.length !== length)
      throw invalid('SHAPE_MISMATCH', 'groupIds', `${length} entries, one per reward`, ids);
    const numbers = new Map([...new Set(ids)].sort((a, b) => a - b).map((id, index) => [id, index]));
    return { byId: true, groups: ids.map((id) => numbers.get(id)!), count: numbers.size };
  }
  if (options.groupOffsets !== undefined) {
    const groups = offsetsOf(options.groupOffsets, length, 'groupOffsets').slice();
    return { byId: false, groups, count: groups.length - 1 };
  }
  const size = wholeNumber(options.groupSize, 'groupSize', 1);
  if (length % size !== 0) {
    throw invalid('SHAPE_MISMATCH', 'groupSize', `a divisor of the number of rewards, ${length}`, size);
  }
  const count = length / size;
  return { byId: false, groups: evenOffsets(count, size), count };
}

/** 0, size, 2 size .. count * size. A loop: Int32Array.from takes longer than the advantages of a million groups. */
export function evenOffsets(count: number, size: number): Int32Array {
  const offsets = new Int32Array(count + 1);
  for (let i = 1; i <= count; i++) offsets[i] = i * size;
  return offsets;
}

/** @internal Names of the options of a formula. */
export const formulaOptions = [
  'scale',
  'baseline',
  'epsilon',
  'ddof',
  'clip',
] as const satisfies readonly (keyof AdvantageFormula)[];

const optionNames = [
  'groupSize',
  'groupOffsets',
  'groupIds',
  ...formulaOptions,
] as const satisfies readonly (keyof AdvantageOptions)[];

function advantagesCall(
  rewards: Float32Array,
  options: ArrayAdvantageOptions,
  async: boolean,
): Call<unknown, Advantages> {
  const o = optionsObject(options, 'options', [...optionNames, 'out', 'device']);
  typedArray(rewards, 'rewards', Float32Array);
  const { byId, groups, count } = nativeGroups(o, rewards.length);
  const formula = nativeFormula(o);
  const gpu = goesToGpu(o.device, () => work.advantages(rewards.length, count));
  const out = target(o.out, rewards.length, [rewards], async);
  const mean = new Float32Array(count);
  const std = new Float32Array(count);
  return {
    start: (native, off) =>
      gpu
        ? native.cudaGroupAdvantages(0, rewards, groups, byId, count, formula, out.array, mean, std, off)
        : native.groupAdvantages(rewards, groups, byId, count, formula, out.array, mean, std, off),
    finish: () => ({ advantages: out.finish(), mean, std }),
    release: out.release,
  };
}

function deviceAdvantagesCall(
  rewards: DeviceTensor,
  options: AdvantageOptions,
): Call<DeviceHandle[], DeviceAdvantages> {
  const o = optionsObject(options, 'options', optionNames);
  const args = new DeviceArguments();
  const { handle, shape, size } = args.tensor(rewards, 'rewards', 'float32');
  const { byId, groups, count } = nativeGroups(o, size);
  const formula = nativeFormula(o);
  const { device } = args;
  return {
    start: (native, off) =>
      native.cudaGroupAdvantages(
        device,
        handle,
        groups,
        byId,
        count,
        formula,
        undefined,
        undefined,
        undefined,
        off,
      ),
    finish: ([advantages, mean, std]) => ({
      advantages: deviceTensor(advantages!, 'float32', shape, device),
      mean: deviceTensor(mean!, 'float32', [count], device),
      std: deviceTensor(std!, 'float32', [count], device),
    }),
  };
}

/**
 * Group-relative advantages: `(reward - baseline) / (std + epsilon)`, clipped (GRPO, arXiv 2402.03300; RLOO; Dr. GRPO).
 *
 * A NaN reward means "not scored": it is left out of every mean and standard deviation and gets advantage 0. A group
 * whose scored rewards are all equal, one alone included, gets exactly 0.
 *
 * @param rewards `[n]`
 * @throws PerceptionError INVALID_VALUE (an infinite reward), SHAPE_MISMATCH, INVALID_OFFSETS, INVALID_ARGUMENT, OUT_IN_USE
 * @example groupAdvantages(new Float32Array([1, 0, 1, 0]), { groupSize: 2 }).advantages // ±0.707
 */
export function groupAdvantages(rewards: Float32Array, options: ArrayAdvantageOptions): Advantages;
/**
 * On a GPU, where `rewards` are. Groups are told as for typed arrays.
 *
 * @param rewards float32 of any shape
 * @throws PerceptionError SHAPE_MISMATCH, INVALID_OFFSETS, INVALID_ARGUMENT, DISPOSED, OUT_OF_MEMORY, DEVICE_LOST; when
 * the result is read INVALID_VALUE
 */
export function groupAdvantages(rewards: DeviceTensor, options: AdvantageOptions): DeviceAdvantages;
export function groupAdvantages(
  rewards: Float32Array | DeviceTensor,
  options: ArrayAdvantageOptions,
): Advantages | DeviceAdvantages {
  return onDevice(rewards)
    ? runSync(deviceAdvantagesCall(rewards as DeviceTensor, options))
    : runSync(advantagesCall(rewards as Float32Array, options, false));
}

/** {@link groupAdvantages} off this thread. Typed arrays are copied first and may be changed at once. */
export async function groupAdvantagesAsync(
  rewards: Float32Array,
  options: ArrayAdvantageOptions,
): Promise<Advantages>;
export async function groupAdvantagesAsync(
  rewards: DeviceTensor,
  options: AdvantageOptions,
): Promise<DeviceAdvantages>;
export async function groupAdvantagesAsync(
  rewards: Float32Array | DeviceTensor,
  options: ArrayAdvantageOptions,
): Promise<Advantages | DeviceAdvantages> {
  return onDevice(rewards)
    ? runAsync(deviceAdvantagesCall(rewards as DeviceTensor, options))
    : runAsync(advantagesCall(rewards as Float32Array, options, true));
}
