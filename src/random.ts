import { invalid } from './errors.js';

/**
 * A seeded generator of random numbers: the same keys always give the same stream. It uses 32-bit whole numbers and the
 * exactly rounded float operations alone, so streams are the same on every platform.
 *
 * sfc32 (Chris Doty-Humphrey, PractRand) over a 128-bit state that the keys are mixed into, so `new Random(seed, epoch, i)`
 * gives random access: no generator has to be advanced to reach the i-th example.
 */
export class Random {
  #a = 0x9e3779b9 | 0;
  #b = 0x243f6a88;
  #c = 0xb7e15162 | 0;
  #counter = 1;

  /** @param keys safe integers, negative ones too; their order and number count
   * @throws PerceptionError INVALID_ARGUMENT */
  constructor(...keys: number[]) {
    for (const key of keys) {
      if (!Number.isSafeInteger(key)) throw invalid('INVALID_ARGUMENT', 'a seed', 'a safe whole number', key);
      this.#a ^= key;
      this.#b ^= Math.floor(key / 2 ** 32);
      for (let i = 0; i < 12; i++) this.#word();
    }
  }

  #word(): number {
    const word = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + word) | 0;
    return word >>> 0;
  }

  /** In [0, 1), in steps of 2^-32. */
  next(): number {
    return this.#word() * 2 ** -32;
  }

  /** A whole number 0..n-1, for n up to 2^32. */
  integer(n: number): number {
    return Math.floor(this.next() * n);
  }

  /**
   * Of the standard normal distribution, by Leva's ratio of uniforms (ACM TOMS 18, 1992). The logarithm, whose last bits
   * differ between engines, only takes part in accepting a point, never in its value.
   */
  normal(): number {
    for (;;) {
      const u = 1 - this.next();
      const v = 1.7156 * (this.next() - 0.5);
      const x = u - 0.449871;
      const y = Math.abs(v) + 0.386595;
      const q = x * x + y * (0.196 * y - 0.25472 * x);
      if (q < 0.27597 || (q <= 0.27846 && v * v <= -4 * u * u * Math.log(u))) return v / u;
    }
  }

  /** Brings `items` into random order, in place, and returns them. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const item = items[i]!;
      items[i] = items[j]!;
      items[j] = item;
    }
    return items;
  }
}
