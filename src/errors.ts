/**
 * What can go wrong, by stable name. docs/errors.md lists each with its cause and remedy.
 */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'SHAPE_MISMATCH'
  | 'DETACHED_BUFFER'
  | 'INVALID_OFFSETS'
  | 'INVALID_VALUE'
  | 'INFEASIBLE'
  | 'INVALID_RECIPE'
  | 'INVALID_GROUND_TRUTH'
  | 'INVALID_INPUT'
  | 'OUT_IN_USE'
  | 'TOO_LARGE'
  | 'OUT_OF_MEMORY'
  | 'DEVICE_UNAVAILABLE'
  | 'DEVICE_LOST'
  | 'WRONG_DEVICE'
  | 'DISPOSED'
  | 'DIVERGED'
  | 'SERVER_UNAVAILABLE'
  | 'NATIVE_UNAVAILABLE'
  | 'INTERNAL';

const brand: unique symbol = Symbol.for('perception-r1.PerceptionError') as never;

/**
 * The one error this package throws. `message` names the argument, what was expected and what came; `code` is stable.
 * `instanceof` also recognises errors of another copy of the package.
 */
export class PerceptionError extends Error {
  override readonly name: string = 'PerceptionError';
  readonly code: ErrorCode;
  readonly [brand]: true = true;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === true;
  }
}

/** "argument: expected X, received Y", the form of every message about an argument. */
export function invalid(
  code: ErrorCode,
  argument: string,
  expected: string,
  received: unknown,
): PerceptionError {
  return new PerceptionError(code, `${argument}: expected ${expected}, received ${describe(received)}`);
}

/** A value in few words, for messages. */
export function describe(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return value.length > 40 ? `"${value.slice(0, 40)}…"` : `"${value}"`;
  if (typeof value === 'number' || typeof value === 'boolean' || value === undefined) return String(value);
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object') return `${String(value)} (${typeof value})`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    return `a ${value.constructor.name} of ${(value as Uint8Array).length}`;
  }
  const kind = value.constructor as typeof value.constructor | undefined;
  if (kind && kind !== Object) return `a ${kind.name}`;
  const keys = Object.keys(value);
  const shown = keys.slice(0, 6).join(', ');
  return `{${shown}${keys.length > 6 ? ', …' : ''}}`;
}
