import type { Kind } from './kind.js';
import { countingBefore } from './phrases.js';
import { composeAmong } from './scene.js';
import { boxText, referenceText } from './task.js';

/** The boxes of all digits of a kind, among up to two others. Ground truth is their centres. */
export const counting: Kind = {
  recipe: { extends: 'perception-r1/counting-strict' },
  maxObjects: 5,
  reading: false,
  compose(random, split, maxObjects) {
    const asked = random.integer(10);
    const count = 1 + random.integer(maxObjects);
    const others = random.integer(3);
    return { ...composeAmong(random, split, asked, count, others), prompt: `${countingBefore}${asked}` };
  },
  groundTruth: (objects) => ({
    points: objects.map(({ box: [x1, y1, x2, y2] }) => [(x1 + x2) / 2, (y1 + y2) / 2]),
  }),
  answer: (objects) => referenceText(objects[0]!.label) + objects.map(({ box }) => boxText(box)).join(''),
  longest: (maxObjects) => ({ objects: maxObjects, tokens: 1 + 4 * maxObjects }),
};
