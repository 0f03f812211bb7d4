import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { isAbsolute, relative, resolve, sep } from 'node:path';

/** An image file for a page. */
export interface EmbeddedImage {
  /** The file as it is, as a data URI. */
  uri: string;
  /** What its header says; undefined where that says nothing. */
  size: ImageSize | undefined;
}

export interface ImageSize {
  width: number;
  height: number;
}

/** Why an image file is not shown; `tooLarge`: it has more bytes than there is room for. */
export type ImageFailure = 'outside' | 'missing' | 'unreadable' | 'format' | 'tooLarge';

/**
 * Reads an image of a folder, if its file has at most `mostBytes`. A path that leads out of the folder is not followed,
 * whoever wrote it; a symbolic link is, since it was put there by the folder's owner.
 */
export function embedImage(folder: string, file: string, mostBytes: number): EmbeddedImage | ImageFailure {
  const path = resolve(folder, file);
  const within = relative(folder, path);
  if (isAbsolute(within) || within === '..' || within.startsWith(`..${sep}`) || path.includes('\0')) {
    return 'outside';
  }
  let bytes: Buffer;
  try {
    // Before it is opened: to open a named pipe waits for somebody who writes to it.
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) return 'missing';
    if (!stat.isFile()) return 'unreadable';
    if (stat.size > mostBytes) return 'tooLarge';
    bytes = readWhole(path);
  } catch {
    return 'unreadable';
  }
  const format = formats.find(({ matches }) => matches(bytes));
  if (!format) return 'format';
  const [width, height] = format.size(bytes) ?? [0, 0];
  return {
    uri: `data:${format.type};base64,${bytes.toString('base64')}`,
    size: width > 0 && height > 0 ? { width, height } : undefined,
  };
}

/** As many bytes as the file has when it is opened, should it be growing. */
function readWhole(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(fstatSync(file).size);
    return bytes.subarray(0, readSync(file, bytes));
  } finally {
    closeSync(file);
  }
}

interface Format {
  type: string;
  matches(bytes: Buffer): boolean;
  /** Width and height, of a file that is long enough for them. */
  size(bytes: Buffer): readonly [width: number, height: number] | undefined;
}

const has = (bytes: Buffer, at: number, text: string): boolean =>
  bytes.toString('latin1', at, at + text.length) === text;

/** What browsers show, told by the first bytes and never by the name. */
const formats: readonly Format[] = [
  {
    type: 'image/png',
    matches: (bytes) => has(bytes, 0, '\x89PNG\r\n\x1a\n'),
    size: (bytes) => (bytes.length < 24 ? undefined : [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]),
  },
  { type: 'image/jpeg', matches: (bytes) => has(bytes, 0, '\xff\xd8\xff'), size: jpegSize },
  {
    type: 'image/gif',
    matches: (bytes) => has(bytes, 0, 'GIF87a') || has(bytes, 0, 'GIF89a'),
    size: (bytes) => (bytes.length < 10 ? undefined : [bytes.readUInt16LE(6), bytes.readUInt16LE(8)]),
  },
  {
    type: 'image/webp',
    matches: (bytes) => has(bytes, 0, 'RIFF') && has(bytes, 8, 'WEBP'),
    size: webpSize,
  },
];

/** The size stands in the frame header (SOF), behind segments that each tell their length (ITU-T T.81, B.1 and B.2). */
function jpegSize(bytes: Buffer): readonly [number, number] | undefined {
  for (let at = 2; at + 9 <= bytes.length; ) {
    if (bytes[at] !== 0xff) return undefined;
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++; // a fill byte
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return [bytes.readUInt16BE(at + 7), bytes.readUInt16BE(at + 5)];
    at += 2 + bytes.readUInt16BE(at + 2);
  }
  return undefined;
}

/** Lossy, lossless and extended files each have a first chunk of their own (RFC 9649, section 2). */
function webpSize(bytes: Buffer): readonly [number, number] | undefined {
  if (bytes.length < 30) return undefined;
  if (has(bytes, 12, 'VP8 ')) return [bytes.readUInt16LE(26) & 0x3fff, bytes.readUInt16LE(28) & 0x3fff];
  if (has(bytes, 12, 'VP8X')) return [1 + bytes.readUIntLE(24, 3), 1 + bytes.readUIntLE(27, 3)];
  if (!has(bytes, 12, 'VP8L')) return undefined;
  const bits = bytes.readUInt32LE(21);
  return [1 + (bits & 0x3fff), 1 + ((bits >>> 14) & 0x3fff)];
}
