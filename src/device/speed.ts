import type { Binding } from '../native/binding.js';
import { binding } from '../native/load.js';

/** What this machine's GPU takes, times in nanoseconds. */
export interface Speed {
  /** A call that does next to nothing: copies and kernels are queued and waited for. */
  call: number;
  /** Between arrays and the GPU, through pinned memory; both directions count. */
  bytesPerNanosecond: number;
  /** How many times as long as a thread of the processor a group of lanes takes over a problem. */
  slowdown: number;
  /** Groups that work at the same time. */
  groups: number;
  /** How many times as long as assumed the processor takes. */
  pace: number;
}

const groupsPerMultiprocessor = 8;
const size = 16; // rows and columns of the assignments
const copied = 1 << 20; // numbers

/** The least time of a few runs: what disturbs them only adds. */
function timeOf(body: () => void, runs = 5): number {
  let least = Infinity;
  for (let i = 0; i < runs; i++) {
    const start = process.hrtime.bigint();
    body();
    least = Math.min(least, Number(process.hrtime.bigint() - start));
  }
  return least;
}

function costsOf(problems: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length: problems * size * size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  });
}

function copyThereAndBack(native: Binding, values: Uint8Array): void {
  const handle = native.cudaUpload(values, 0);
  native.cudaDownload(handle, values, false);
  native.cudaRelease(handle);
}

/**
 * Measures the GPU and the processor; takes some ten milliseconds.
 * @param assumed what one thread should take for one `size` x `size` assignment
 * @returns undefined where the GPU does not even do this
 */
export function measureSpeed(assumed: (size: number) => number): Speed | undefined {
  const native = binding();
  const groups = groupsPerMultiprocessor * native.cudaInfo().devices[0]!.multiprocessors;
  const costs = costsOf(groups);
  const columns = new Int32Array(groups * size);
  const totals = new Float64Array(groups);
  const box = new Float32Array(4);
  const one = new Float32Array(1);
  try {
    const call = timeOf(
      () => native.cudaPairwiseIou(0, box, undefined, box, undefined, 1, 1, 1, 0, 0, one, false),
      10,
    );
    const copies = timeOf(() => copyThereAndBack(native, new Uint8Array(4 * copied)));
    const bytesPerNanosecond = (2 * 4 * copied) / Math.max(1, copies - call);
    const onGpu = timeOf(() =>
      native.cudaLinearSumAssignmentPadded(
        ...([0, costs, false, groups, size, size, undefined, undefined, false] as const),
        ...([columns, totals, false] as const),
      ),
    );
    const several = Math.min(groups, 64);
    const onThread =
      timeOf(() => {
        for (let i = 0; i < several; i++) {
          const start = i * size * size;
          native.linearSumAssignment(
            ...([costs.subarray(start, start + size * size), size, size, false] as const),
            ...([columns.subarray(0, size), false] as const),
          );
        }
      }) / several;
    const kernel = onGpu - call - costs.byteLength / bytesPerNanosecond;
    return {
      call,
      bytesPerNanosecond,
      slowdown: Math.max(1, kernel / onThread),
      groups,
      pace: onThread / assumed(size),
    };
  } catch {
    return undefined; // the processor serves
  }
}
