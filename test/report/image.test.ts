import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encode } from 'fast-png';
import { afterAll, describe, expect, test } from 'vitest';
import { embedImage } from '../../src/report/image.js';

const folder = mkdtempSync(join(tmpdir(), 'perception-r1-image-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const png = encode({ width: 3, height: 2, channels: 1, data: new Uint8Array(6) });
const room = 1e6;

/** The size that the header of these bytes tells. */
function sizeOf(...parts: (string | readonly number[] | Uint8Array)[]): unknown {
  const bytes = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))),
  );
  writeFileSync(join(folder, 'bytes'), bytes);
  const found = embedImage(folder, 'bytes', room);
  if (typeof found === 'string') return found;
  expect(Buffer.from(found.uri.slice(found.uri.indexOf(',') + 1), 'base64')).toEqual(bytes);
  return [found.uri.slice(0, found.uri.indexOf(';')), found.size && [found.size.width, found.size.height]];
}

describe('sizes, from the headers', () => {
  const jpegStart = [0xff, 0xd8, 0xff, 0xe0, 0, 4, 0xff, 0xc0]; // a segment in which there seems to be a frame
  const frame = (marker: number): number[] => [0xff, marker, 0, 17, 8, 0x01, 0xe0, 0x02, 0x80, 3];

  test('PNG', () => {
    expect(sizeOf(png)).toEqual(['data:image/png', [3, 2]]);
    expect(sizeOf(png.subarray(0, 20))).toEqual(['data:image/png', undefined]);
  });

  test('JPEG: behind other segments, tables with a marker near that of a frame, and fill bytes', () => {
    expect(sizeOf(jpegStart, frame(0xc0))).toEqual(['data:image/jpeg', [640, 480]]);
    expect(sizeOf(jpegStart, [0xff, 0xc4, 0, 9, 1, 2, 3, 4, 5, 6, 7], [0xff, 0xff], frame(0xc2))).toEqual([
      'data:image/jpeg',
      [640, 480],
    ]);
    expect(sizeOf(jpegStart, frame(0xc0).slice(0, 6))).toEqual(['data:image/jpeg', undefined]);
    expect(sizeOf(jpegStart, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])).toEqual(['data:image/jpeg', undefined]);
    // A length of 0 leads to no endless loop.
    expect(sizeOf(jpegStart.slice(0, 2), new Array<number[]>(50).fill([0xff, 0xe0, 0, 0]).flat())).toEqual([
      'data:image/jpeg',
      undefined,
    ]);
  });

  test('GIF', () => {
    expect(sizeOf('GIF89a', [0x2c, 0x01, 0xc8, 0x00], [0, 0])).toEqual(['data:image/gif', [300, 200]]);
    expect(sizeOf('GIF87a', [0x2c])).toEqual(['data:image/gif', undefined]);
    expect(sizeOf('GIF89a', [0, 0, 0, 0])).toEqual(['data:image/gif', undefined]);
  });

  test('WebP: lossy, lossless, extended', () => {
    const start = ['RIFF', [0, 0, 0, 0], 'WEBP'] as const;
    const padding = new Array<number>(20).fill(0);
    const lossy = ['VP8 ', [0, 0, 0, 0], [0, 0, 0, 0x9d, 0x01, 0x2a], [0x80, 0x42, 0xe0, 0x81]] as const;
    expect(sizeOf(...start, ...lossy, padding)).toEqual(['data:image/webp', [640, 480]]);
    // 14 bits of width - 1 = 299, then 14 bits of height - 1 = 199
    const bits = 299 | (199 << 14);
    const lossless = [bits & 255, (bits >> 8) & 255, (bits >> 16) & 255, (bits >> 24) & 255];
    expect(sizeOf(...start, 'VP8L', [0, 0, 0, 0], [0x2f], lossless, padding)).toEqual([
      'data:image/webp',
      [300, 200],
    ]);
    const extended = [0, 0, 0, 0, ...[0x2b, 0x01, 0], ...[0xc7, 0, 0]];
    expect(sizeOf(...start, 'VP8X', [0, 0, 0, 0], extended, padding)).toEqual([
      'data:image/webp',
      [300, 200],
    ]);
    expect(sizeOf(...start, 'VP8 ')).toEqual(['data:image/webp', undefined]);
    expect(sizeOf(...start, 'ALPH', padding)).toEqual(['data:image/webp', undefined]);
  });

  test('the name tells nothing, and other formats are refused', () => {
    writeFileSync(join(folder, 'a.svg'), png);
    expect(embedImage(folder, 'a.svg', room)).toMatchObject({ size: { width: 3, height: 2 } });
    expect(sizeOf('<svg xmlns="http://www.w3.org/2000/svg"/>')).toBe('format');
    expect(sizeOf('')).toBe('format');
    expect(sizeOf('\x89PN')).toBe('format');
  });
});

describe('files', () => {
  const images = join(folder, 'images');
  mkdirSync(join(images, 'deep'), { recursive: true });
  writeFileSync(join(images, 'a.png'), png);
  writeFileSync(join(images, '..a.png'), png);
  writeFileSync(join(folder, 'secret.png'), png);
  mkdirSync(join(folder, 'images-beside'));
  writeFileSync(join(folder, 'images-beside', 'secret.png'), png);

  test.each([
    '../secret.png',
    'deep/../../secret.png',
    '../images-beside/secret.png',
    '..',
    join(folder, 'secret.png'),
    '/etc/passwd',
    'a.png\0',
  ])('%j is outside of the folder', (file) => {
    expect(embedImage(images, file, room)).toBe('outside');
  });

  test.each(['a.png', './deep/../a.png', '..a.png', join(images, 'a.png')])('%j is inside', (file) => {
    expect(embedImage(images, file, room)).toMatchObject({ size: { width: 3, height: 2 } });
  });

  test.skipIf(process.platform === 'win32')('links that the folder has are followed', () => {
    symlinkSync(join(folder, 'secret.png'), join(images, 'link.png'));
    expect(embedImage(images, 'link.png', room)).toMatchObject({ size: { width: 3, height: 2 } });
  });

  test.skipIf(process.platform === 'win32')('nobody writes to a named pipe', () => {
    execFileSync('mkfifo', [join(images, 'pipe.png')]);
    expect(embedImage(images, 'pipe.png', room)).toBe('unreadable');
  });

  test('what is not there, is no file, or too large', () => {
    expect(embedImage(images, 'b.png', room)).toBe('missing');
    expect(embedImage(images, 'deep', room)).toBe('unreadable');
    expect(embedImage(images, 'a.png/b.png', room)).toMatch(/missing|unreadable/);
    expect(embedImage(images, 'x'.repeat(5000), room)).toBe('unreadable');
    expect(embedImage(images, 'a.png', png.length)).toMatchObject({ size: { width: 3 } });
    expect(embedImage(images, 'a.png', png.length - 1)).toBe('tooLarge');
  });
});
