import { invalid, PerceptionError } from '../errors.js';
import { type Call, runAsync, runSync } from '../native/load.js';

const encoder = new TextEncoder();

/** Strings as the add-on takes them: UTF-8 in one buffer, string i in `bytes[offsets[i] .. offsets[i + 1])`. */
export interface Packed {
  bytes: Uint8Array;
  offsets: Int32Array;
}

/**
 * Copies strings into one buffer, once. A string that is not well-formed keeps its lone surrogates (as WTF-8).
 * @internal
 */
export function packStrings(strings: readonly string[], name: string): Packed {
  if (!Array.isArray(strings)) throw invalid('INVALID_ARGUMENT', name, 'an array of strings', strings);
  const offsets = new Int32Array(strings.length + 1);
  let units = 0;
  for (let i = 0; i < strings.length; i++) {
    const text = strings[i];
    if (typeof text !== 'string') throw invalid('INVALID_ARGUMENT', `${name}[${i}]`, 'a string', text);
    units += text.length;
  }
  // Mostly ASCII: one byte a unit is the guess, grown where a text needs up to three.
  let bytes = new Uint8Array(Math.min(units + 64, 2147483647));
  let used = 0;
  for (let i = 0; i < strings.length; i++) {
    const text = strings[i]!;
    if (!text.isWellFormed()) {
      const encoded = encodeWtf8(text);
      bytes = withRoom(bytes, used, used + encoded.length, name);
      bytes.set(encoded, used);
      used += encoded.length;
    } else {
      let { read, written } = encoder.encodeInto(text, bytes.subarray(used));
      used += written;
      while (read < text.length) {
        bytes = withRoom(bytes, used, used + 3 * (text.length - read), name);
        const more = encoder.encodeInto(text.slice(read), bytes.subarray(used));
        read += more.read;
        used += more.written;
        ({ written } = more);
      }
    }
    offsets[i + 1] = used;
  }
  return { bytes: bytes.subarray(0, used), offsets };
}

function withRoom(
  bytes: Uint8Array<ArrayBuffer>,
  used: number,
  needed: number,
  name: string,
): Uint8Array<ArrayBuffer> {
  if (needed <= bytes.length) return bytes;
  if (needed > 2147483647) {
    throw new PerceptionError('TOO_LARGE', `${name}: expected at most 2 GiB of text in one batch; split it`);
  }
  const grown = new Uint8Array(Math.min(Math.max(needed, 2 * bytes.length), 2147483647));
  grown.set(bytes.subarray(0, used));
  return grown;
}

function encodeWtf8(text: string): Uint8Array {
  const parts: number[] = [];
  for (const character of text) {
    const point = character.codePointAt(0)!;
    if (point >= 0xd800 && point <= 0xdfff) {
      parts.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    } else {
      parts.push(...encoder.encode(character));
    }
  }
  return Uint8Array.from(parts);
}

function editDistanceCall(a: readonly string[], b: readonly string[]): Call<void, Int32Array> {
  const packedA = packStrings(a, 'a');
  const packedB = packStrings(b, 'b');
  if (a.length !== b.length) throw invalid('SHAPE_MISMATCH', 'b', `${a.length} strings, as many as a`, b);
  const distances = new Int32Array(a.length);
  return {
    start: (native, off) =>
      native.editDistance(packedA.bytes, packedA.offsets, packedB.bytes, packedB.offsets, distances, off),
    finish: () => distances,
  };
}

/**
 * Levenshtein distance: the least number of insertions, deletions and substitutions of Unicode code points that turn
 * `a` into `b` (bit-parallel: Myers 1999, Hyyrö 2003).
 * @throws PerceptionError INVALID_ARGUMENT
 * @example editDistance('kitten', 'sitting') // 3
 */
export function editDistance(a: string, b: string): number {
  if (typeof a !== 'string') throw invalid('INVALID_ARGUMENT', 'a', 'a string', a);
  if (typeof b !== 'string') throw invalid('INVALID_ARGUMENT', 'b', 'a string', b);
  return runSync(editDistanceCall([a], [b]))[0]!;
}

/**
 * {@link editDistance} of each pair `a[i]`, `b[i]`, in parallel over the pairs.
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, TOO_LARGE
 */
export function editDistanceBatch(a: readonly string[], b: readonly string[]): Int32Array {
  return runSync(editDistanceCall(a, b));
}

/** {@link editDistanceBatch} off this thread. */
export async function editDistanceBatchAsync(
  a: readonly string[],
  b: readonly string[],
): Promise<Int32Array> {
  return runAsync(editDistanceCall(a, b));
}
