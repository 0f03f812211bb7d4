import { invalid, PerceptionError } from '../errors.js';
import { typedArray } from './validate.js';

interface Range {
  start: number;
  end: number;
}

// What asynchronous calls will write to, by buffer.
const leases = new WeakMap<ArrayBufferLike, Set<Range>>();

const rangeOf = (array: ArrayBufferView): Range => ({
  start: array.byteOffset,
  end: array.byteOffset + array.byteLength,
});

const overlap = (a: Range, b: Range): boolean => a.start < b.end && b.start < a.end;

/** Where a call writes: straight into `out`, or for asynchronous work into an array of its own that `finish` copies. */
export interface Target {
  array: Float32Array;
  /** The caller's array, filled. */
  finish(): Float32Array;
  release(): void;
}

/**
 * The target for `length` values. `out` must have that length, must not share memory with `inputs`, and no
 * asynchronous call may be writing to it.
 * @throws PerceptionError SHAPE_MISMATCH, INVALID_ARGUMENT, OUT_IN_USE
 */
export function target(
  out: Float32Array | undefined,
  length: number,
  inputs: readonly Float32Array[],
  async: boolean,
): Target {
  if (out === undefined) {
    const array = new Float32Array(length);
    return { array, finish: () => array, release: () => {} };
  }
  typedArray(out, 'out', Float32Array);
  if (out.length !== length) throw invalid('SHAPE_MISMATCH', 'out', `${length} values`, out);
  const range = rangeOf(out);
  if (inputs.some((input) => input.buffer === out.buffer && overlap(rangeOf(input), range))) {
    throw new PerceptionError(
      'INVALID_ARGUMENT',
      'out: expected memory of its own, received some that is shared with an input',
    );
  }
  const held = leases.get(out.buffer) ?? new Set<Range>();
  if ([...held].some((other) => overlap(other, range))) {
    throw new PerceptionError(
      'OUT_IN_USE',
      'out: an asynchronous call is still writing to it; await that call first',
    );
  }
  if (!async) return { array: out, finish: () => out, release: () => {} };

  leases.set(out.buffer, held.add(range));
  const array = new Float32Array(length);
  return {
    array,
    finish: () => {
      if (out.length !== length) {
        throw new PerceptionError(
          'DETACHED_BUFFER',
          'out: its buffer was detached or resized while the call was running',
        );
      }
      out.set(array);
      return out;
    },
    release: () => held.delete(range),
  };
}
