import type { CoordinateSpace } from '../rewards/recipes.js';
import type { Size } from './items.js';

export const coordinateChoices = ['auto', 'pixels', 'per-mille', 'unit'] as const;
export type CoordinateChoice = (typeof coordinateChoices)[number];

/**
 * The space of an answer's coordinates. Where it is not said: Qwen2-VL's box tokens hold thousandths, numbers that are
 * all within 0..1 are fractions, and others are pixels, as Qwen2.5-VL writes them.
 * @param values coordinates of the boxes and points
 */
export function spaceOf(text: string, values: Float32Array, choice: CoordinateChoice): CoordinateSpace {
  if (choice !== 'auto') return choice;
  if (text.includes('<|box_start|>')) return 'per-mille';
  return values.length > 0 && isUnit(values) ? 'unit' : 'pixels';
}

/** Whether all of them are within 0..1. */
export const isUnit = (values: ArrayLike<number>): boolean =>
  Array.prototype.every.call(values, (value) => value >= 0 && value <= 1);

const thousandths: Size = { width: 1000, height: 1000 };
const one: Size = { width: 1, height: 1 };

/** What 1 is of, where the values of a space are shares of it; undefined for pixels of an image whose size is not known. */
export const extentOf = (space: CoordinateSpace, size: Size | undefined): Size | undefined =>
  space === 'per-mille' ? thousandths : space === 'unit' ? one : size;

/** x y x y ... of an image that is `from` wide and high, where it is `to`. */
export function rescale(values: ArrayLike<number>, from: Size, to: Size): Float64Array {
  const [x, y] = [to.width / from.width, to.height / from.height];
  return Float64Array.from(values, (value, i) => value * (i % 2 === 0 ? x : y));
}

/** Tells where answers are probably not in the space that they are taken to be in, the commonest cause of figures near 0. */
export class SpaceCheck {
  #boxes = 0;
  #outside = 0;

  /** @param extent of the image in the space of the boxes, where it is known */
  add(boxes: ArrayLike<number>, space: CoordinateSpace, extent: Size | undefined): void {
    for (let i = 0; i < boxes.length; i += 4) {
      const [x1, y1, x2, y2] = [boxes[i]!, boxes[i + 1]!, boxes[i + 2]!, boxes[i + 3]!];
      const { width, height } = extent ?? { width: Infinity, height: Infinity };
      const inside =
        Math.min(x1, x2) >= -0.05 * width &&
        Math.min(y1, y2) >= -0.05 * height &&
        Math.max(x1, x2) <= 1.05 * width &&
        Math.max(y1, y2) <= 1.05 * height;
      const tiny = space !== 'unit' && isUnit([x1, y1, x2, y2]);
      this.#boxes++;
      if (!inside || tiny) this.#outside++;
    }
  }

  /** @returns nothing to say where undefined */
  note(): string | undefined {
    if (2 * this.#outside <= this.#boxes) return undefined;
    return `${this.#outside} of ${this.#boxes} predicted boxes do not fit the coordinates that they are taken to be in: see --coordinates.`;
  }
}
