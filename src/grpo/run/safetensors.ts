import { crc32 } from 'node:zlib';
import { invalid, PerceptionError } from '../../errors.js';

/** The numbers of a tensor, row-major. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** A safetensors file's contents. */
export interface Tensors {
  /** Texts of the file's `__metadata__`. `data_crc32` is the checksum that writing adds and reading checks. */
  metadata: Record<string, string>;
  tensors: Record<string, Tensor>;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

const bytesOf: Record<string, number> = { F32: 4, I32: 4, F16: 2 };
/** The library's own limit: a larger header is an attack or a damaged length. */
const longestHeader = 100_000_000;

/**
 * The bytes of a safetensors file, as the Python library reads it: chunks to be written one after the other, of which those
 * of 4-byte numbers are views of the tensors' own memory.
 * @param options.floats 'F16' halves the size: values are rounded to the nearest half (11 bits). Default 'F32'
 * @throws PerceptionError SHAPE_MISMATCH where a shape does not fit its data; INVALID_VALUE where a finite value is beyond
 *   the largest half, 65504
 * @see https://github.com/huggingface/safetensors#format
 */
export function encodeSafetensors(
  { metadata, tensors }: Tensors,
  { floats = 'F32' }: { floats?: 'F32' | 'F16' } = {},
): Uint8Array[] {
  const entries = Object.entries(tensors).map(([name, { shape, data }]) => {
    const elements = elementsOf(shape, `tensors["${name}"]`);
    if (elements !== data.length) {
      throw invalid(
        'SHAPE_MISMATCH',
        `tensors["${name}"].data`,
        `${elements} numbers, as shape [${shape.join(', ')}] says`,
        data,
      );
    }
    const dtype = data instanceof Int32Array ? 'I32' : floats;
    return { name, dtype, shape, data: dtype === 'F16' ? toHalf(data, name) : data };
  });
  entries.sort((a, b) => bytesOf[b.dtype]! - bytesOf[a.dtype]!); // so that each tensor starts where its type may
  const chunks = entries.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const header: Record<string, unknown> = Object.create(null); // a tensor may be called __proto__
  header.__metadata__ = { ...metadata, [checksum]: checksumOf(chunks) };
  let offset = 0;
  for (const { name, dtype, shape, data } of entries) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const start = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  start.writeBigUInt64LE(BigInt(start.length - 8));
  json.copy(start, 8);
  return [start, ...chunks];
}

const checksum = 'data_crc32';

const checksumOf = (chunks: readonly Uint8Array[]): string =>
  chunks
    .reduce((sum, chunk) => (chunk.length > 0 ? crc32(chunk, sum) : sum), 0) // zlib starts anew at an empty chunk
    .toString(16)
    .padStart(8, '0');

/**
 * Reads a safetensors file of F32, I32 and F16 tensors; F16 becomes float32.
 * @param name what to call the file in messages
 * @throws PerceptionError INVALID_INPUT for anything that is not such a file from its first byte to its last
 */
export function decodeSafetensors(bytes: Uint8Array, name: string): Tensors {
  const { length, metadata, entries } = decodeHeader(bytes, bytes.byteLength, name);
  const data = 8 + length;
  const { [checksum]: expected, ...texts } = metadata;
  const actual = checksumOf([bytes.subarray(data)]);
  if (expected !== undefined && expected !== actual) {
    throw new PerceptionError(
      'INVALID_INPUT',
      `${name}: expected data with the checksum ${expected}, received ${actual}: the file is damaged`,
    );
  }
  const tensors = entries.map(
    ([
      tensor,
      {
        dtype,
        shape,
        data_offsets: [begin, end],
      },
    ]): [string, Tensor] => {
      const from = bytes.byteOffset + data;
      const own = bytes.buffer.slice(from + begin, from + end); // a copy starts where a typed array may
      if (dtype === 'F16') return [tensor, { shape, data: fromHalf(new Uint16Array(own)) }];
      return [tensor, { shape, data: dtype === 'I32' ? new Int32Array(own) : new Float32Array(own) }];
    },
  );
  return { metadata: texts, tensors: Object.fromEntries(tensors) };
}

/**
 * Reads the header at the start of a safetensors file, and checks all that it says.
 * @param bytes the file, or as much of it as holds the header
 * @param size bytes in the whole file
 */
export function decodeHeader(
  bytes: Uint8Array,
  size: number,
  name: string,
): { length: number; metadata: Record<string, string>; entries: [string, Entry][] } {
  const damaged = (what: string): PerceptionError =>
    new PerceptionError('INVALID_INPUT', `${name}: expected a whole safetensors file, ${what}`);
  if (bytes.byteLength < 8) throw damaged(`received ${size} bytes`);
  const length = headerLength(bytes);
  if (length > longestHeader || 8 + length > size) {
    throw damaged(`received a header of ${length} bytes in a file of ${size}`);
  }
  let header: unknown;
  try {
    header = JSON.parse(
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(8, 8 + length)),
    );
  } catch (error) {
    throw damaged(`received a header that is not JSON (${(error as Error).message})`);
  }
  if (!isRecord(header)) throw damaged('received a header that is not an object');
  const { __metadata__: metadata = {}, ...rest } = header;
  if (!isRecord(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw damaged('received __metadata__ that is not an object of strings');
  }
  const entries = Object.entries(rest).map(([tensor, entry]): [string, Entry] => {
    const at = `received tensor "${tensor}"`;
    if (!isRecord(entry)) throw damaged(`${at} without a description`);
    const { dtype, shape, data_offsets: offsets } = entry;
    const width = typeof dtype === 'string' && Object.hasOwn(bytesOf, dtype) ? bytesOf[dtype] : undefined;
    if (width === undefined) throw damaged(`${at} of type ${JSON.stringify(dtype)}, not F32, I32 or F16`);
    if (!isSizes(shape)) throw damaged(`${at} of shape ${JSON.stringify(shape)}`);
    if (!isSizes(offsets) || offsets.length !== 2) throw damaged(`${at} at ${JSON.stringify(offsets)}`);
    const bytesNeeded = shape.reduce((product, n) => product * n, width);
    if (offsets[1]! - offsets[0]! !== bytesNeeded) {
      throw damaged(`${at} of shape [${shape.join(', ')}] in ${offsets[1]! - offsets[0]!} bytes`);
    }
    return [tensor, { dtype: dtype as string, shape, data_offsets: offsets as [number, number] }];
  });
  // One after the other, without gap or overlap, up to the last byte.
  const order = entries
    .map(([, { data_offsets }]) => data_offsets)
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  let at = 0;
  for (const [begin, end] of order) {
    if (begin !== at)
      throw damaged(`received data that overlaps or has a gap at byte ${Math.min(at, begin)}`);
    at = end;
  }
  if (8 + length + at !== size) {
    throw damaged(`whose header needs ${8 + length + at} bytes, received ${size}`);
  }
  return { length, metadata: metadata as Record<string, string>, entries };
}

/** How long the header is, from the file's first 8 bytes. */
export function headerLength(bytes: Uint8Array): number {
  return Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);

function elementsOf(shape: readonly number[], name: string): number {
  if (!isSizes(shape))
    throw invalid('INVALID_ARGUMENT', `${name}.shape`, 'whole numbers of at least 0', shape);
  return shape.reduce((product, n) => product * n, 1);
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** IEEE 754 halves, rounded to nearest, ties to even. */
function toHalf(values: ArrayLike<number>, name: string): Uint16Array {
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    float[0] = values[i]!;
    const sign = (bits[0]! >>> 16) & 0x8000;
    const size = bits[0]! & 0x7fffffff;
    if (size > 0x7f800000) {
      halves[i] = sign | 0x7e00; // NaN
    } else if (size === 0x7f800000) {
      halves[i] = sign | 0x7c00;
    } else if (size >= 0x477ff000) {
      throw invalid('INVALID_VALUE', `tensors["${name}"]`, 'values of at most 65504 for halves', values[i]);
    } else if (size >= 0x38800000) {
      halves[i] = sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
    } else {
      // Below the smallest normal half: multiples of 2^-24. Adding 0.5 lets the float unit round to one of them.
      float[0] = Math.abs(values[i]!);
      float[0] += 0.5;
      halves[i] = sign | (bits[0]! - 0x3f000000);
    }
  }
  return halves;
}

function fromHalf(halves: Uint16Array): Float32Array {
  return Float32Array.from(halves, (half) => {
    const exponent = (half >>> 10) & 31;
    const fraction = half & 1023;
    const size =
      exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : exponent === 0
          ? fraction * 2 ** -24
          : (1024 + fraction) * 2 ** (exponent - 25);
    return half & 0x8000 ? -size : size;
  });
}
