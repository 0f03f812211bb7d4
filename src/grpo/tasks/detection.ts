import type { Kind } from './kind.js';
import { detectionPrompt } from './phrases.js';
import { composeScene } from './scene.js';
import { boxText, referenceText } from './task.js';

/** The boxes and names of all digits. */
export const detection: Kind = {
  recipe: {
    extends: 'perception-r1/detection-strict',
    vocabulary: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
    coordinates: 'per-mille',
  },
  maxObjects: 5,
  reading: false,
  compose(random, split, maxObjects) {
    const labels = Array.from({ length: 1 + random.integer(maxObjects) }, () => random.integer(10));
    const { image, objects } = composeScene(random, split, labels);
    return { image, prompt: detectionPrompt, objects, shown: objects };
  },
  groundTruth: (objects) => ({
    boxes: objects.map(({ box }) => box),
    labels: objects.map(({ label }) => label),
  }),
  answer: (objects) => objects.map(({ label, box }) => referenceText(label) + boxText(box)).join(''),
  longest: (maxObjects) => ({ objects: maxObjects, tokens: 5 * maxObjects }),
};
