import { invalid } from '../errors.js';
import { Random } from '../random.js';
import type { Example, Task } from './tasks/task.js';

/** A task, and how often it is drawn beside others. */
export interface WeightedTask {
  task: Task;
  /** Default 1. */
  weight?: number;
}

/** Draws the examples of a training from several tasks, the same for the same seed and step whatever came before. */
export class Mixture {
  readonly tasks: readonly Task[];
  readonly #cumulative: number[] = [];
  readonly #seed: number;

  /** @throws PerceptionError INVALID_ARGUMENT (no task, weights that are no shares, images of several sizes) */
  constructor(tasks: readonly WeightedTask[], seed: number) {
    if (tasks.length === 0) throw invalid('INVALID_ARGUMENT', 'tasks', 'at least one task', tasks);
    this.tasks = tasks.map(({ task }) => task);
    this.#seed = seed;
    let sum = 0;
    tasks.forEach(({ task, weight = 1 }, i) => {
      if (!(weight > 0 && Number.isFinite(weight))) {
        throw invalid('INVALID_ARGUMENT', `tasks[${i}].weight`, 'a number above 0', weight);
      }
      const [first] = this.tasks as [Task];
      if (task.height !== first.height || task.width !== first.width) {
        throw invalid(
          'INVALID_ARGUMENT',
          `tasks[${i}]`,
          `images of ${first.width} x ${first.height} pixels, as those of the first task`,
          `${task.width} x ${task.height}`,
        );
      }
      sum += weight;
      this.#cumulative.push(sum);
    });
  }

  /** @param attempt tells further batches of one step apart */
  batch(step: number, size: number, attempt = 0): { task: Task; example: Example }[] {
    const random = new Random(this.#seed, step, attempt);
    const total = this.#cumulative.at(-1)!;
    return Array.from({ length: size }, () => {
      const drawn = random.next() * total;
      const task = this.tasks[this.#cumulative.findIndex((sum) => drawn < sum)]!;
      return { task, example: task.example('train', this.#seed, random.integer(2 ** 31)) };
    });
  }
}
