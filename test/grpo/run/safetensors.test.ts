import { describe, expect, test } from 'vitest';
import { decodeSafetensors, encodeSafetensors, type Tensors } from '../../../src/grpo/run/safetensors.js';
import { codeOf } from '../../support.js';
import { messageOf } from './support.js';

const file = (contents: Tensors, options?: { floats: 'F16' }): Buffer =>
  Buffer.concat(encodeSafetensors(contents, options));

/** A file with this header, checked by nobody. */
function fileOf(header: unknown, data = 0): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(data)]);
}

const contents: Tensors = {
  metadata: { seed: '3', text: 'ключ "quoted"' },
  tensors: {
    'a/weights': { shape: [2, 3], data: Float32Array.of(1, -2.5, Number.NaN, 3e38, -0, 1e-45) },
    count: { shape: [], data: Int32Array.of(-2147483648) },
    none: { shape: [0, 4], data: new Float32Array(0) },
    ['__proto__']: { shape: [1], data: Float32Array.of(7) },
  },
};

describe('safetensors', () => {
  test('what is written is read again, from any place in a buffer', () => {
    const bytes = file(contents);
    expect(decodeSafetensors(bytes, 'x')).toEqual(contents);
    for (const shift of [1, 2, 3]) {
      const moved = Buffer.concat([Buffer.alloc(shift), bytes]).subarray(shift);
      expect(decodeSafetensors(moved, 'x')).toEqual(contents);
    }
  });

  test('the layout is that of the format', () => {
    const data = Float32Array.of(1, 2);
    const bytes = file({ metadata: { a: 'b' }, tensors: { w: { shape: [2], data } } });
    const length = Number(bytes.readBigUInt64LE());
    expect(length % 8).toBe(0);
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, unknown>;
    expect(header.w).toEqual({ dtype: 'F32', shape: [2], data_offsets: [0, 8] });
    expect(header.__metadata__).toMatchObject({ a: 'b' });
    expect(bytes.subarray(8 + length).toString('hex')).toBe('0000803f00000040');
  });

  test('halves: all of them survive, and floats are rounded to the nearest, ties to even', () => {
    const all = new Uint16Array(65536).map((_, i) => i);
    const header = { all: { dtype: 'F16', shape: [65536], data_offsets: [0, 131072] } };
    const bytes = Buffer.concat([fileOf(header), Buffer.from(all.buffer)]);
    const { all: read } = decodeSafetensors(bytes, 'x').tensors;
    expect(read!.data[0x3c00]).toBe(1);
    expect(read!.data[0xc000]).toBe(-2);
    expect(read!.data[1]).toBe(2 ** -24);
    expect(read!.data[0x7bff]).toBe(65504);
    const again = file({ metadata: {}, tensors: { all: read! } }, { floats: 'F16' });
    const halves = new Uint16Array(again.buffer.slice(again.byteOffset + again.length - 131072)).slice(
      0,
      65536,
    );
    const wrong = all.filter((half, i) => {
      const notANumber = (half & 0x7c00) === 0x7c00 && (half & 0x3ff) !== 0;
      return notANumber ? !Number.isNaN(read!.data[i]) : halves[i] !== half;
    });
    expect([...wrong]).toEqual([]);

    // Between two neighbouring halves: the middle goes to the even one, what is beside it to the nearer one.
    const rounded = (value: number): number =>
      decodeSafetensors(
        file(
          { metadata: {}, tensors: { v: { shape: [1], data: Float32Array.of(value) } } },
          { floats: 'F16' },
        ),
        'x',
      ).tensors.v!.data[0]!;
    for (let i = 0; i < 0x7bff; i += 7) {
      const [low, high] = [read!.data[i]!, read!.data[i + 1]!];
      const middle = (low + high) / 2;
      const even = i % 2 === 0 ? low : high;
      const beyond = Math.max(Math.fround(middle * (1 + 2 ** -22)), middle + 2 ** -40);
      expect([rounded(middle), rounded(beyond), rounded(-middle)]).toEqual([even, high, -even]);
    }
  });

  test('whole numbers stay whole where floats are halved, and every tensor starts where its type may', () => {
    const bytes = file(
      {
        metadata: {},
        tensors: {
          odd: { shape: [3], data: Float32Array.of(1, 2, 3) },
          whole: { shape: [1], data: Int32Array.of(16777217) },
        },
      },
      { floats: 'F16' },
    );
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString());
    expect(header.whole).toMatchObject({ dtype: 'I32', data_offsets: [0, 4] });
    expect(header.odd).toMatchObject({ dtype: 'F16', data_offsets: [4, 10] });
    expect(decodeSafetensors(bytes, 'x').tensors.whole!.data[0]).toBe(16777217);
  });

  test('what cannot be written is refused', () => {
    const write = (shape: number[], data: Float32Array, floats: 'F32' | 'F16' = 'F32') =>
      codeOf(() => encodeSafetensors({ metadata: {}, tensors: { w: { shape, data } } }, { floats }));
    expect(write([2, 2], new Float32Array(3))).toBe('SHAPE_MISMATCH');
    expect(write([-1, -3], new Float32Array(3))).toBe('INVALID_ARGUMENT');
    expect(write([1.5, 2], new Float32Array(3))).toBe('INVALID_ARGUMENT');
    expect(write([1], Float32Array.of(65520), 'F16')).toBe('INVALID_VALUE');
    expect(write([1], Float32Array.of(65519), 'F16')).toBe('no error');
    expect(write([1], Float32Array.of(Number.POSITIVE_INFINITY), 'F16')).toBe('no error');
  });

  test('a file that was cut off anywhere, or has bytes too many, is refused', () => {
    const bytes = file(contents);
    for (let length = 0; length < bytes.length; length++) {
      expect(
        codeOf(() => decodeSafetensors(bytes.subarray(0, length), 'x')),
        `${length}`,
      ).toBe('INVALID_INPUT');
    }
    expect(codeOf(() => decodeSafetensors(Buffer.concat([bytes, Buffer.alloc(1)]), 'x'))).toBe(
      'INVALID_INPUT',
    );
  });

  test('a changed bit anywhere in the data is found', () => {
    const bytes = file({ metadata: {}, tensors: { w: { shape: [3], data: Float32Array.of(1, 2, 3) } } });
    for (let at = bytes.length - 12; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1;
      expect(messageOf(() => decodeSafetensors(changed, 'a.safetensors'))).toMatch(
        /^a\.safetensors: .* checksum/,
      );
    }
  });

  test.each([
    ['no JSON', '{"a": ', 0, /not JSON/],
    ['a text', '"a"', 0, /not an object/],
    ['a list', [], 0, /not an object/],
    ['metadata of numbers', { __metadata__: { a: 1 } }, 0, /__metadata__/],
    ['no description', { a: 3 }, 0, /"a" without a description/],
    ['a type not known', { a: { dtype: 'BF16', shape: [1], data_offsets: [0, 2] } }, 2, /"BF16", not F32/],
    [
      'a type that objects have',
      { a: { dtype: 'constructor', shape: [], data_offsets: [0, 4] } },
      4,
      /"constructor"/,
    ],
    ['a negative size', { a: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } }, 4, /shape \[-1\]/],
    ['a size not whole', { a: { dtype: 'F32', shape: [0.5], data_offsets: [0, 2] } }, 2, /shape \[0.5\]/],
    [
      'a size beyond numbers',
      { a: { dtype: 'F32', shape: [2 ** 52, 2 ** 52], data_offsets: [0, 4] } },
      4,
      /in 4 bytes/,
    ],
    ['three offsets', { a: { dtype: 'F32', shape: [1], data_offsets: [0, 4, 8] } }, 4, /at \[0,4,8\]/],
    ['offsets backwards', { a: { dtype: 'F32', shape: [1], data_offsets: [4, 0] } }, 4, /in -4 bytes/],
    ['the wrong length', { a: { dtype: 'F32', shape: [2], data_offsets: [0, 4] } }, 4, /\[2\] in 4 bytes/],
    ['data beyond the end', { a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] } }, 4, /needs \d+ bytes/],
    ['a gap', { a: { dtype: 'F32', shape: [1], data_offsets: [4, 8] } }, 8, /gap at byte 0/],
    [
      'an overlap',
      {
        a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
        b: { dtype: 'F32', shape: [2], data_offsets: [4, 12] },
      },
      12,
      /overlaps .* byte 4/,
    ],
    [
      'the same bytes twice',
      {
        a: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
        b: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
      },
      4,
      /overlaps/,
    ],
    [
      'a name twice',
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
      8,
      /gap/,
    ],
  ])('a header with %s is refused', (_, header, data, message) => {
    const bytes = fileOf(header, data);
    expect(codeOf(() => decodeSafetensors(bytes, 'x'))).toBe('INVALID_INPUT');
    expect(messageOf(() => decodeSafetensors(bytes, 'x'))).toMatch(message);
  });

  test('a header longer than the file, or than the limit, is refused before it is read', () => {
    for (const length of [9n, 100_000_001n, 2n ** 63n, 2n ** 64n - 1n]) {
      const bytes = Buffer.alloc(16);
      bytes.writeBigUInt64LE(length);
      expect(messageOf(() => decodeSafetensors(bytes, 'x'))).toMatch(/a header of \d+ bytes in a file of 16/);
    }
  });
});
