import type { Kind } from './kind.js';
import { groundingAfter, groundingBefore } from './phrases.js';
import { composeAmong } from './scene.js';
import { boxText, referenceText } from './task.js';

/** The box of a digit that is in the scene once, among others. */
export const grounding: Kind = {
  recipe: { extends: 'perception-r1/grounding-strict' },
  maxObjects: 5,
  reading: false,
  compose(random, split, maxObjects) {
    const asked = random.integer(10);
    const others = 1 + random.integer(maxObjects - 1);
    const prompt = `${groundingBefore}${asked}${groundingAfter}`;
    return { ...composeAmong(random, split, asked, 1, others), prompt };
  },
  groundTruth: ([object]) => ({ box: object!.box }),
  answer: ([object]) => referenceText(object!.label) + boxText(object!.box),
  longest: () => ({ objects: 1, tokens: 5 }),
};
