import { binding } from '../native/load.js';
import { choice } from '../ops/validate.js';
import { measureSpeed, type Speed } from './speed.js';

export type DeviceOption = 'cpu' | 'cuda' | 'auto';

const options: readonly DeviceOption[] = ['cpu', 'cuda', 'auto'];

export interface DeviceChoice {
  /**
   * What does the work: the processor, the first GPU, or whichever should be done sooner, arrays going to the GPU and
   * back. Default 'cpu'. docs/cuda.md.
   */
  device?: DeviceOption;
}

/** What a call costs. */
export interface Work {
  /** On one processor thread, in nanoseconds. */
  cpu: number;
  /** To the GPU and back. */
  bytes: number;
  /** Into how many parts the GPU can cut the work; left out where there are more than it needs. */
  parts?: number;
  /** What the host does before the GPU can start, in nanoseconds. */
  preparation?: number;
}

// Nanoseconds on one thread of a server's processor; how this one compares with it is measured (speed.ts).
const iouPair = [0.5, 1, 1, 1.6]; // iou, giou, diou, ciou
const distancePair = [1, 0.4]; // l2, l1
const problem = 40;
const assignmentCell = { wide: 2, square: 9 };
const rewardOf = 3;
const textUnit = 4;
const textWord = 1.8;
const objectCell = 12;

const textPreparation = 3; // a character, before the GPU can start

// Less than this no GPU can save: the plug-in is not even loaded.
const tooLittle = 100_000;

const squareAssignment = (size: number): number => problem + size * size * assignmentCell.square;

// Single wide problems are faster on the processor, and the GPU's memory for one group is limited.
const widestAssignment = 300;

/** Costs by operation. */
export const work = {
  iou: (kind: number, boxes: number, pairs: number): Work => ({
    cpu: iouPair[kind]! * pairs,
    bytes: 16 * boxes + 4 * pairs,
  }),

  distance: (metric: number, points: number, pairs: number): Work => ({
    cpu: distancePair[metric]! * pairs,
    bytes: 8 * points + 4 * pairs,
  }),

  assignment(rows: Int32Array, cols: Int32Array, bytes: number): Work {
    let cpu = 0;
    for (let i = 0; i < rows.length; i++) {
      const [short, long] = [Math.min(rows[i]!, cols[i]!), Math.max(rows[i]!, cols[i]!)];
      if (long > widestAssignment) return { cpu: 0, bytes: 0 };
      const { wide, square } = assignmentCell;
      cpu += problem + short * (long * wide + short * (square - wide));
    }
    return { cpu, bytes, parts: rows.length };
  },

  advantages: (rewards: number, groups: number): Work => ({
    cpu: rewardOf * rewards + problem * groups,
    bytes: 8 * rewards + 8 * groups,
  }),

  /** Texts as UTF-8, one after the other; their bytes stand for characters. */
  editDistance(a: Int32Array, b: Int32Array): Work {
    const pairs = a.length - 1;
    const units = (a[pairs] ?? 0) + (b[pairs] ?? 0);
    let words = 0;
    for (let i = 0; i < pairs; i++) {
      const [n, m] = [a[i + 1]! - a[i]!, b[i + 1]! - b[i]!];
      words += Math.ceil(Math.min(n, m) / 64) * Math.max(n, m);
    }
    const cpu = problem * pairs + textUnit * units + textWord * words;
    return { cpu, bytes: 4 * units, parts: pairs, preparation: textPreparation * units };
  },

  objects: (answers: number, rows: number, truthRows: number, bytes: number): Work => ({
    cpu: answers * (5 * problem + objectCell * rows * truthRows),
    bytes,
    parts: answers,
  }),
};

/** Whether the GPU should be done sooner than `threads` threads of the processor. */
export function isSooner(
  { cpu, bytes, parts, preparation = 0 }: Work,
  speed: Speed,
  threads: number,
): boolean {
  const waves = parts === undefined ? 0 : Math.ceil(parts / speed.groups);
  const kernel = parts ? (waves * speed.slowdown * speed.pace * cpu) / parts : 0;
  const gpu = speed.call + preparation + bytes / speed.bytesPerNanosecond + kernel;
  return cpu > tooLittle && (speed.pace * cpu) / threads > gpu;
}

let found: { speed: Speed | undefined } | undefined;

/** How fast the GPU is; undefined where there is none. Looked for, and measured, once. */
function gpuSpeed(): Speed | undefined {
  found ??= { speed: binding().cudaInfo().reason === '' ? measureSpeed(squareAssignment) : undefined };
  return found.speed;
}

/** Whether a call on typed arrays goes to the GPU. @throws PerceptionError INVALID_ARGUMENT */
export function goesToGpu(option: DeviceOption | undefined, cost: () => Work): boolean {
  const chosen = options[choice(option, 'cpu', options, 'device')];
  if (chosen !== 'auto') return chosen === 'cuda';
  const estimate = cost();
  if (estimate.cpu <= tooLittle) return false;
  const speed = gpuSpeed();
  return speed !== undefined && isSooner(estimate, speed, binding().info().threads);
}
