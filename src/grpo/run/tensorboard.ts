import { appendFileSync } from 'node:fs';

/**
 * Writes scalars to a file that TensorBoard reads: records of TensorFlow's framing, each with an Event message.
 * @see https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto
 */
export class EventFile {
  /** Makes the file. @throws the file system's error, also where it is there already */
  constructor(readonly path: string) {
    appendFileSync(path, record(eventMessage(0, text(3, 'brain.Event:2'))), { flag: 'ax' });
  }

  /** Appends the values of a step, all in one record. */
  scalars(step: number, values: Readonly<Record<string, number>>): void {
    const summary = Object.entries(values).map(([tag, value]) => {
      const number = Buffer.alloc(5);
      number[0] = (2 << 3) | 5; // simple_value
      number.writeFloatLE(value, 1);
      return field(1, Buffer.concat([text(1, tag), number]));
    });
    this.#append(step, field(5, Buffer.concat(summary)));
  }

  /** Says that a training starts anew before `step`: TensorBoard drops what it has read of this step and later ones. */
  restart(step: number): void {
    this.#append(step, field(7, Buffer.from([1 << 3, 1]))); // session_log, status START
  }

  #append(step: number, what: Uint8Array): void {
    appendFileSync(this.path, record(eventMessage(step, what)));
  }
}

// Protocol buffers, as much of them as is needed here.

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

/** A field of bytes: a text or a message. */
const field = (number: number, bytes: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.of((number << 3) | 2), varint(bytes.length), bytes]);

const text = (number: number, value: string): Uint8Array => field(number, Buffer.from(value));

/** An Event: when (seconds since 1970), at which step, and what. */
function eventMessage(step: number, what: Uint8Array): Uint8Array {
  const time = Buffer.alloc(9);
  time[0] = (1 << 3) | 1;
  time.writeDoubleLE(Date.now() / 1000, 1);
  const number = step === 0 ? [] : [2 << 3, ...varint(step)]; // protocol buffers leave zeros out
  return Buffer.concat([time, Uint8Array.from(number), what]);
}

// TensorFlow's record files.

/** Length, its checksum, the data, its checksum. */
function record(data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + data.length + 4);
  bytes.writeBigUInt64LE(BigInt(data.length));
  bytes.writeUInt32LE(maskedCrc(bytes.subarray(0, 8)), 8);
  bytes.set(data, 12);
  bytes.writeUInt32LE(maskedCrc(data), 12 + data.length);
  return bytes;
}

/** CRC-32C (Castagnoli), which zlib, whose polynomial is another, does not have. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  return value;
});

/** TensorFlow rotates and shifts checksums, since one of data that hold their own checksum tells little. */
function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 255]!;
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
