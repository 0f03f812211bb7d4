import { type DeviceChoice, goesToGpu, work } from '../device/choose.js';
import { invalid, PerceptionError } from '../errors.js';
import { type Call, runAsync, runSync } from '../native/load.js';
import { optionsObject } from './validate.js';

const encoder = new TextEncoder();

/** Strings as the add-on takes them: UTF-8 in one buffer, string i in `bytes[offsets[i] .. offsets[i + 1])`. */
export interface Packed {
  bytes: Uint8Array;
  offsets: Int32Array;
  /** Gives the buffer back, to be used for the next batch. `bytes` must not be read after that. */
  release(): void;
}

// Fresh memory costs more (page faults) than the copying itself, so a few buffers go round.
const spares: Uint8Array<ArrayBuffer>[] = [];
const maxSpares = 3;
const maxSpareBytes = 64 * 1024 * 1024;
const maxBytes = 2147483647; // offsets are Int32
/** Strings of so few units are encoded many at a time, as many as have this many together. */
const short = 256;
const mostTogether = 2048;

function takeBuffer(size: number, name: string): Uint8Array<ArrayBuffer> {
  if (size > maxBytes) {
    throw new PerceptionError('TOO_LARGE', `${name}: expected at most 2 GiB of text in one batch; split it`);
  }
  const index = spares.findIndex((spare) => spare.length >= size);
  return index >= 0 ? spares.splice(index, 1)[0]! : new Uint8Array(size);
}

function giveBuffer(buffer: Uint8Array<ArrayBuffer>): void {
  if (buffer.length > maxSpareBytes) return;
  spares.push(buffer);
  spares.sort((a, b) => a.length - b.length);
  if (spares.length > maxSpares) spares.shift();
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
  let buffer = takeBuffer(units, name);
  let used = 0;
  const makeRoom = (bytes: number): void => {
    if (used + bytes <= buffer.length) return;
    const grown = takeBuffer(Math.max(used + bytes, Math.min(2 * buffer.length, maxBytes)), name);
    grown.set(buffer.subarray(0, used));
    giveBuffer(buffer);
    buffer = grown;
  };
  const encode = (text: string): void => {
    if (text.isWellFormed()) {
      let { read, written } = encoder.encodeInto(text, buffer.subarray(used));
      used += written;
      if (read < text.length) {
        makeRoom(3 * (text.length - read));
        ({ read, written } = encoder.encodeInto(text.slice(read), buffer.subarray(used)));
        used += written;
      }
    } else {
      const encoded = encodeWtf8(text);
      makeRoom(encoded.length);
      buffer.set(encoded, used);
      used += encoded.length;
    }
  };
  for (let first = 0, end = 0; first < strings.length; first = end) {
    let length = strings[end++]!.length;
    while (length <= mostTogether && end < strings.length && strings[end]!.length <= short) {
      length += strings[end++]!.length;
    }
    if (end > first + 1) {
      // A call per string costs more than the copying. What has a byte for each unit is ASCII, and its places are known.
      makeRoom(length);
      const all = strings.slice(first, end).join('');
      const { read, written } = encoder.encodeInto(all, buffer.subarray(used));
      if (read === length && written === length) {
        for (let i = first; i < end; i++) {
          used += strings[i]!.length;
          offsets[i + 1] = used;
        }
        continue;
      }
    }
    for (let i = first; i < end; i++) {
      encode(strings[i]!);
      offsets[i + 1] = used;
    }
  }
  return { bytes: buffer.subarray(0, used), offsets, release: () => giveBuffer(buffer) };
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

function editDistanceCall(
  a: readonly string[],
  b: readonly string[],
  options?: DeviceChoice,
): Call<unknown, Int32Array> {
  const { device } = optionsObject(options, 'options', ['device']);
  const packedA = packStrings(a, 'a');
  const packedB = packStrings(b, 'b');
  if (a.length !== b.length) throw invalid('SHAPE_MISMATCH', 'b', `${a.length} strings, as many as a`, b);
  const gpu = goesToGpu(device, () => work.editDistance(packedA.offsets, packedB.offsets));
  const distances = new Int32Array(a.length);
  return {
    start: (native, off) => {
      const texts = [packedA.bytes, packedA.offsets, packedB.bytes, packedB.offsets] as const;
      return gpu
        ? native.cudaEditDistance(0, ...texts, distances, off)
        : native.editDistance(...texts, distances, off);
    },
    finish: () => distances,
    release: () => {
      packedA.release();
      packedB.release();
    },
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
export function editDistanceBatch(
  a: readonly string[],
  b: readonly string[],
  options?: DeviceChoice,
): Int32Array {
  return runSync(editDistanceCall(a, b, options));
}

/** {@link editDistanceBatch} off this thread. */
export async function editDistanceBatchAsync(
  a: readonly string[],
  b: readonly string[],
  options?: DeviceChoice,
): Promise<Int32Array> {
  return runAsync(editDistanceCall(a, b, options));
}
