import { invalid } from '../errors.js';

/** @internal `value` if it is an array, of `count` entries where that is given and else of one at least. */
export function listOf<T>(value: readonly T[], name: string, count?: number): readonly T[] {
  if (!Array.isArray(value)) throw invalid('INVALID_ARGUMENT', name, 'an array', value);
  if (count === undefined && value.length === 0) {
    throw invalid('INVALID_ARGUMENT', name, 'at least one entry', value);
  }
  if (count !== undefined && value.length !== count) {
    throw invalid('SHAPE_MISMATCH', name, `${count} entries`, value);
  }
  return value;
}

/** @internal Whether `value` is a typed array or a plain one. */
export const isNumbers = (value: unknown): value is ArrayLike<number> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
