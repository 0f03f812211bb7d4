import type { Kind } from './kind.js';
import { ocrPrompt } from './phrases.js';
import { composeLine } from './scene.js';

/** A line of digits to be read. */
export const ocr: Kind = {
  recipe: { extends: 'perception-r1/ocr' },
  maxObjects: 6,
  reading: true,
  compose(random, split, maxObjects) {
    const labels = Array.from({ length: 2 + random.integer(maxObjects - 1) }, () => random.integer(10));
    const { image, objects } = composeLine(random, split, labels);
    return { image, prompt: ocrPrompt, objects, shown: objects };
  },
  groundTruth: (objects) => ({ text: textOf(objects) }),
  answer: (objects) => textOf(objects),
  longest: (maxObjects) => ({ objects: maxObjects, tokens: maxObjects }),
};

function textOf(objects: readonly { label: string }[]): string {
  return objects.map(({ label }) => label).join('');
}
