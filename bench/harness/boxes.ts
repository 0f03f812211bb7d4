/** Costs as matching has them. */
import { iou } from '../../test/reference/iou.js';
import type { Generator } from '../../test/reference/random.js';

/**
 * 1 - GIoU of what was found in an image with what is there, row by row, of so many images: three in five objects, a little
 * off, and others anywhere.
 */
export function overlapCosts(
  random: Generator,
  problems: number,
  rows: number,
  columns: number,
): Float32Array {
  const costs = new Float32Array(problems * rows * columns);
  for (let problem = 0, next = 0; problem < problems; problem++) {
    const truth = Array.from({ length: columns }, () => random.boxes(1, 1000));
    const order = truth.map((_, i) => i);
    for (let i = columns - 1; i > 0; i--) {
      const other = random.integer(0, i);
      [order[i], order[other]] = [order[other]!, order[i]!];
    }
    for (let row = 0; row < rows; row++) {
      const object = (random.next() < 0.6 && truth[order[row]!]) || random.boxes(1, 1000);
      const size = [object[2]! - object[0]!, object[3]! - object[1]!];
      const found = object.map((value, i) => value + 0.3 * size[i % 2]! * (random.next() - 0.5));
      for (const box of truth) costs[next++] = 1 - iou(found, box, 'giou');
    }
  }
  return costs;
}
