import { createReadStream, createWriteStream, fstatSync, openSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { FileError } from './error.js';

const chunkBytes = 256 * 1024;

/** The input could not be read to its end: the disk, or a gzip file that is cut off or damaged. */
export class InputError extends FileError {}

function open(path: string, flags: string, expected: string): number {
  try {
    return openSync(path, flags);
  } catch (error) {
    throw new FileError(`${expected}, received "${path}" (${(error as Error).message})`);
  }
}

/** Where rollouts come from. */
export interface Source {
  /** The bytes, unpacked where the first two of them say gzip; ends early after `stop()`. Throws InputError. */
  chunks: AsyncIterable<Buffer>;
  /** Bytes read so far, as they are stored. */
  bytesRead(): number;
  /** Bytes in all, where that is known. */
  totalBytes: number | undefined;
  stop(): void;
}

/** Opens a file, or standard input for `-`. @throws FileError */
export function openSource(path: string): Source {
  let totalBytes: number | undefined;
  let stream: Readable;
  if (path === '-') {
    stream = process.stdin;
  } else {
    const fd = open(path, 'r', '--input: expected a file that can be read');
    const stat = fstatSync(fd);
    if (stat.isFile()) totalBytes = stat.size;
    stream = createReadStream(path, { fd, highWaterMark: chunkBytes });
  }
  let bytesRead = 0;
  let stopped = false;

  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      bytesRead += chunk.length;
      yield chunk;
    }
  }

  async function* unpacked(): AsyncGenerator<Buffer> {
    const raw = counted();
    // A pipe may deliver its first bytes one by one; two of them tell.
    let head = Buffer.alloc(0);
    while (head.length < 2) {
      const { value, done } = await raw.next();
      if (done) break;
      head = Buffer.concat([head, value]);
    }
    if (head[0] === 0x1f && head[1] === 0x8b) {
      const gunzip = createGunzip({ chunkSize: chunkBytes });
      let failure: unknown;
      const done = pipeline(async function* () {
        yield head;
        yield* raw;
      }, gunzip).catch((error: unknown) => {
        failure = error;
      });
      yield* gunzip as AsyncIterable<Buffer>;
      await done;
      if (failure) throw failure;
    } else {
      if (head.length > 0) yield head;
      yield* raw;
    }
  }

  async function* chunks(): AsyncGenerator<Buffer> {
    try {
      yield* unpacked();
    } catch (error) {
      if (!stopped) throw new InputError((error as Error).message, { cause: error });
    }
  }

  return {
    chunks: chunks(),
    bytesRead: () => bytesRead,
    totalBytes,
    stop: () => {
      stopped = true;
      stream.destroy();
    },
  };
}

/** Where scored lines go. */
export interface Sink {
  /** Resolves when there is room for more. */
  write(text: string): Promise<void>;
  /** Resolves when everything is stored, the trailer of a .gz too. */
  close(): Promise<void>;
}

/** Creates a file (gzipped where its name ends in .gz), or takes standard output for `-`. @throws FileError */
export function openSink(path: string): Sink {
  if (path === '-') return sinkOf(process.stdout, Promise.resolve());
  const file = createWriteStream(path, {
    fd: open(path, 'w', '--output: expected a file that can be written'),
  });
  const gzip = path.endsWith('.gz') ? createGzip() : undefined;
  const stored = (gzip ? pipeline(gzip, file) : finished(file)).catch((error: Error) => {
    throw new FileError(`--output: "${path}" cannot be written (${error.message})`);
  });
  return sinkOf(gzip ?? file, stored);
}

/** @param stored settles when what `head` was given is stored, or cannot be */
function sinkOf(head: Writable, stored: Promise<void>): Sink {
  stored.catch(() => {}); // reported by the write or close that meets it
  return {
    async write(text) {
      if (!head.destroyed && !head.write(text)) {
        await new Promise<void>((resolve) => {
          const settle = (): void => {
            head.off('drain', settle).off('close', settle);
            resolve();
          };
          head.on('drain', settle).on('close', settle);
        });
      }
      if (head.destroyed) await stored;
    },
    async close() {
      if (head !== process.stdout) head.end();
      await stored;
    },
  };
}
