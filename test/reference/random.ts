/** Numerical Recipes' 32-bit linear congruential generator, numbers in [0, 1); the same in scripts/*.py. */
export class Generator {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (Math.imul(1664525, this.#state) + 1013904223) >>> 0;
    return this.#state / 2 ** 32;
  }

  /** A whole number in [low, high]. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** `count` boxes x1 y1 x2 y2 with positive extents, within 0..`size`. */
  boxes(count: number, size = 100): Float32Array {
    const boxes = new Float32Array(4 * count);
    for (let i = 0; i < count; i++) {
      const x = this.next() * size * 0.8;
      const y = this.next() * size * 0.8;
      boxes.set([x, y, x + (0.01 + this.next() * 0.2) * size, y + (0.01 + this.next() * 0.2) * size], 4 * i);
    }
    return boxes;
  }
}
