import { isUtf8 } from 'node:buffer';

/**
 * A line longer than this is reported and skipped, so that a file without line ends does not fill the memory; JSON of
 * nothing but brackets takes some 50 times its length to parse.
 */
export const maxLineBytes: number = 16 * 1024 * 1024;

/** One line of the input that is not blank: its text, or what is wrong with it. */
export type Line = { number: number; text: string } | { number: number; problem: 'too-long' | 'not-utf8' };

const newline = 0x0a;
const keptCapacity = 1024 * 1024;

/**
 * Cuts chunks of bytes into lines, holding no more than the line it is in. Blank lines are left out but counted.
 *
 * @example
 * const splitter = new LineSplitter();
 * for await (const chunk of stream) for (const line of splitter.push(chunk)) use(line);
 * for (const line of splitter.end()) use(line);
 */
export class LineSplitter {
  readonly #limit: number;
  #pending: Buffer = Buffer.alloc(0);
  #size = 0;
  #tooLong = false;
  #number = 0;

  constructor(limit: number = maxLineBytes) {
    this.#limit = limit;
  }

  /** The lines that end in `chunk`. The chunk must not change until all are taken. */
  *push(chunk: Buffer): Generator<Line> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(newline, start);
      if (end < 0) break;
      const line = this.#finish(chunk.subarray(start, end));
      if (line) yield line;
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
  }

  /** The last line, where it has no line end. */
  *end(): Generator<Line> {
    if (this.#size === 0 && !this.#tooLong) return;
    const line = this.#finish(Buffer.alloc(0));
    if (line) yield line;
  }

  #finish(tail: Buffer): Line | undefined {
    const number = ++this.#number;
    let bytes = tail;
    if (this.#size > 0 || this.#tooLong) {
      this.#keep(tail);
      bytes = this.#pending.subarray(0, this.#size);
    } else if (tail.length > this.#limit) {
      this.#tooLong = true;
    }
    const tooLong = this.#tooLong;
    this.#tooLong = false;
    this.#size = 0;
    if (tooLong) return { number, problem: 'too-long' };
    if (number === 1 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
      bytes = bytes.subarray(3);
    if (!isUtf8(bytes)) return { number, problem: 'not-utf8' };
    const text = bytes.toString('utf8');
    if (this.#pending.length > keptCapacity) this.#pending = Buffer.alloc(0);
    return text.trim() === '' ? undefined : { number, text };
  }

  #keep(bytes: Buffer): void {
    if (this.#tooLong || bytes.length === 0) return;
    const size = this.#size + bytes.length;
    if (size > this.#limit) {
      this.#tooLong = true;
      this.#size = 0;
      this.#pending = Buffer.alloc(0);
      return;
    }
    if (size > this.#pending.length) {
      // Doubling keeps a line that arrives byte by byte linear.
      const grown = Buffer.allocUnsafe(Math.max(size, 2 * this.#pending.length));
      this.#pending.copy(grown, 0, 0, this.#size);
      this.#pending = grown;
    }
    bytes.copy(this.#pending, this.#size);
    this.#size = size;
  }
}
