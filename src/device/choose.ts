import { binding } from '../native/load.js';
import { choice } from '../ops/validate.js';

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

// Processor: nanoseconds on one thread, measured on a server's.
const iouPair = [0.5, 1, 1, 1.6]; // iou, giou, diou, ciou
const distancePair = [1, 0.4]; // l2, l1
const problem = 40;
const assignmentCell = { wide: 2, square: 9 };
const rewardOf = 3;
const textUnit = 4;
const textWord = 1.8;
const objectCell = 12;

// GPU: estimates, not yet measured on one. A call queues copies and kernels and waits for them; arrays pass through
// pinned memory; a group of lanes takes several times as long over a problem as a processor's thread, but hundreds of
// them work at the same time.
const gpu = { call: 60_000, bytesPerNanosecond: 10, slowdown: 15, groups: 1000, textUnit: 3 };

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
    return { cpu, bytes: 4 * units, parts: pairs, preparation: gpu.textUnit * units };
  },

  objects: (answers: number, rows: number, truthRows: number, bytes: number): Work => ({
    cpu: answers * (5 * problem + objectCell * rows * truthRows),
    bytes,
    parts: answers,
  }),
};

/** Nanoseconds on the GPU. */
function gpuTime({ cpu, bytes, parts, preparation = 0 }: Work): number {
  const waves = parts === undefined ? 0 : Math.ceil(parts / gpu.groups);
  const kernel = parts ? (waves * gpu.slowdown * cpu) / parts : 0;
  return gpu.call + preparation + bytes / gpu.bytesPerNanosecond + kernel;
}

let usable: boolean | undefined;

/** Whether there is a GPU; looked for once. */
function gpuIsUsable(): boolean {
  usable ??= binding().cudaInfo().reason === '';
  return usable;
}

/** Whether a call on typed arrays goes to the GPU. @throws PerceptionError INVALID_ARGUMENT */
export function goesToGpu(option: DeviceOption | undefined, cost: () => Work): boolean {
  const chosen = options[choice(option, 'cpu', options, 'device')];
  if (chosen !== 'auto') return chosen === 'cuda';
  const estimate = cost();
  const onGpu = gpuTime(estimate);
  // What one thread does faster needs no look at how many there are, and the plug-in is not loaded for it.
  return estimate.cpu > onGpu && gpuIsUsable() && estimate.cpu > onGpu * binding().info().threads;
}
