import { invalid, PerceptionError } from '../errors.js';

type TypedArrayClass<T> = { new (...args: never[]): T; readonly name: string };
type AnyTypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

/** `value` if it is of one of `classes` and its memory is still there. */
export function typedArray<T extends AnyTypedArray>(
  value: unknown,
  name: string,
  ...classes: TypedArrayClass<T>[]
): T {
  const expected = classes.find((candidate) => value instanceof candidate);
  if (!expected) {
    throw invalid('INVALID_ARGUMENT', name, `a ${classes.map((c) => c.name).join(' or ')}`, value);
  }
  const array = value as T;
  if (array.length === 0) {
    try {
      array.keys(); // throws where the buffer is detached, or was resized so that the view has no place in it
    } catch {
      throw new PerceptionError(
        'DETACHED_BUFFER',
        `${name}: expected a ${expected.name} with its memory, received one whose buffer was detached (transferred) or resized below it`,
      );
    }
  }
  return array;
}

/** The position of `value` in `choices`, or of `fallback` where it is undefined. */
export function choice<T extends string>(
  value: T | undefined,
  fallback: T,
  choices: readonly T[],
  name: string,
): number {
  const index = choices.indexOf(value ?? fallback);
  if (index < 0) {
    throw invalid('INVALID_ARGUMENT', name, choices.map((c) => `'${c}'`).join(' or '), value);
  }
  return index;
}

export function wholeNumber(value: unknown, name: string, low: number, high = 2147483647): number {
  if (!Number.isInteger(value) || (value as number) < low || (value as number) > high) {
    const range =
      high === 2147483647 ? `a whole number of at least ${low}` : `a whole number from ${low} to ${high}`;
    throw invalid('INVALID_ARGUMENT', name, range, value);
  }
  return value as number;
}

export function finiteNumber(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    throw invalid('INVALID_ARGUMENT', name, 'a finite number', value);
  }
  return value;
}

export function atLeastZero(value: unknown, name: string): number {
  const number = finiteNumber(value, name);
  if (number < 0) throw invalid('INVALID_ARGUMENT', name, 'a number of at least 0', value);
  return number;
}

export function aboveZero(value: unknown, name: string): number {
  const number = finiteNumber(value, name);
  if (number <= 0) throw invalid('INVALID_ARGUMENT', name, 'a number above 0', value);
  return number;
}

/** A plain object of options; unknown keys are refused, since a misspelt option would be silently without effect. */
export function optionsObject<T extends object>(
  value: T | undefined,
  name: string,
  known: readonly (keyof T & string)[],
): Partial<T> {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value) || ArrayBuffer.isView(value)) {
    throw invalid('INVALID_ARGUMENT', name, 'an object', value);
  }
  for (const key of Object.keys(value)) {
    if (!(known as readonly string[]).includes(key)) {
      throw new PerceptionError(
        'INVALID_ARGUMENT',
        `${name}.${key}: unknown option; known are ${known.join(', ')}`,
      );
    }
  }
  return value;
}

/** Number of `width`-tuples in `array`. */
export function tuples(array: Float32Array, width: number, name: string): number {
  if (array.length % width !== 0) {
    throw invalid('SHAPE_MISMATCH', name, `a length that is a multiple of ${width}`, array);
  }
  return array.length / width;
}

/** Checks offsets: start at 0, never go down, end at `total`. */
export function offsetsOf(value: unknown, total: number, name: string): Int32Array {
  const offsets = typedArray(value, name, Int32Array);
  if (offsets.length === 0 || offsets[0] !== 0) {
    throw invalid(
      'INVALID_OFFSETS',
      name,
      'n + 1 entries, the first one 0',
      offsets.length ? offsets[0] : offsets,
    );
  }
  for (let i = 1; i < offsets.length; i++) {
    if (offsets[i]! < offsets[i - 1]!) {
      throw invalid(
        'INVALID_OFFSETS',
        `${name}[${i}]`,
        `at least ${offsets[i - 1]} (offsets never go down)`,
        offsets[i],
      );
    }
  }
  if (offsets[offsets.length - 1] !== total) {
    throw invalid(
      'INVALID_OFFSETS',
      name,
      `the last entry to be ${total}, the number of values`,
      offsets[offsets.length - 1],
    );
  }
  return offsets;
}

/** Elements of an array to be allocated. */
export function sizeOf(elements: number, name: string): number {
  if (elements > 2147483647) {
    throw invalid('TOO_LARGE', name, 'at most 2147483647 elements; split the batch', elements);
  }
  return elements;
}
