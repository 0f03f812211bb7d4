import { invalid } from '../../errors.js';
import { optionsObject, wholeNumber } from '../../ops/validate.js';
import { Random } from '../../random.js';
import { counting } from './counting.js';
import { detection } from './detection.js';
import { grounding } from './grounding.js';
import type { Kind } from './kind.js';
import { ocr } from './ocr.js';
import { thinkSuffix } from './phrases.js';
import { sceneSize } from './scene.js';
import type { Example, Split, Task, TaskName } from './task.js';

export type { Example, SceneObject, Split, Task, TaskName } from './task.js';

export interface TaskOptions {
  /** Ask for the digits in `<think>` first, and teach it. Default false. */
  think?: boolean;
  /** The order in which targets list objects: `random`, as annotation files do, or `raster`, from top to bottom. Default random. */
  order?: 'random' | 'raster';
  /** Objects to name in a scene, or digits of a line, at most: 2..8. Default 5, of `ocr` 6. */
  maxObjects?: number;
}

const kinds: Readonly<Record<TaskName, Kind>> = { grounding, counting, detection, ocr };
const splits: readonly Split[] = ['train', 'eval'];

export const taskNames: readonly TaskName[] = Object.keys(kinds) as TaskName[];

/**
 * A task on scenes of handwritten digits, composed as they are asked for; docs/tasks.md describes the four.
 * @throws PerceptionError INVALID_ARGUMENT
 * @example createTask('detection').example('train', 1, 0).target
 */
export function createTask(name: TaskName, options?: TaskOptions): Task {
  const number = taskNames.indexOf(name);
  if (number < 0) {
    throw invalid('INVALID_ARGUMENT', 'the task', `one of ${taskNames.join(', ')}`, name);
  }
  const kind = kinds[name];
  const {
    think = false,
    order = 'random',
    maxObjects = kind.maxObjects,
  } = optionsObject(options, 'options', ['think', 'order', 'maxObjects']);
  if (typeof think !== 'boolean') throw invalid('INVALID_ARGUMENT', 'options.think', 'a boolean', think);
  if (order !== 'random' && order !== 'raster') {
    throw invalid('INVALID_ARGUMENT', 'options.order', "'random' or 'raster'", order);
  }
  wholeNumber(maxObjects, 'options.maxObjects', 2, 8);
  const longest = kind.longest(maxObjects);
  return {
    name,
    recipe: kind.recipe,
    height: sceneSize,
    width: sceneSize,
    maxTokens: longest.tokens + (think ? longest.objects + 2 : 0) + 1,
    example(split, seed, index): Example {
      if (!splits.includes(split)) throw invalid('INVALID_ARGUMENT', 'split', "'train' or 'eval'", split);
      wholeNumber(index, 'index', 0);
      const random = new Random(seed, number, splits.indexOf(split), index);
      const { image, prompt, objects, shown } = kind.compose(random, split, maxObjects);
      if (!kind.reading) {
        if (order === 'random') random.shuffle(objects);
        else objects.sort((a, b) => a.box[1] - b.box[1] || a.box[0] - b.box[0]);
      }
      const thought = think ? `<think>${objects.map(({ label }) => label).join('')}</think>` : '';
      return {
        image,
        prompt: think ? prompt + thinkSuffix : prompt,
        groundTruth: kind.groundTruth(objects),
        target: thought + kind.answer(objects),
        objects,
        shown,
      };
    },
  };
}
