import type { Problems } from '../metrics/problems.js';
import type { Benchmark } from './benchmark.js';
import { type Item, titleOf } from './items.js';
import { promptOf } from './prompts.js';

/** What is asked of a model. */
export interface Question {
  /** Unique; joins answers to the ground truth. */
  key: string;
  /** Path below the image folder. */
  image: string;
  prompt: string;
}

/**
 * The questions about the first `count` items. Those that cannot be asked are added to `problems`.
 * @param template instead of Perception-R1's prompt
 */
export function questionsOf(
  { task, items, categories, noun }: Benchmark,
  count: number,
  template: string | undefined,
  problems: Problems,
): Question[] {
  const asks = task === 'grounding' || task === 'counting';
  const missing = (item: Item): string | undefined =>
    item.image === undefined ? 'an image' : asks && item.question === undefined ? 'a question' : undefined;
  return items.slice(0, count).flatMap((item): Question[] => {
    const lack = missing(item);
    if (lack !== undefined) {
      problems.add(`${noun} that cannot be asked, without ${lack} in the ground truth`, titleOf(item));
      return [];
    }
    const { key, image, question } = item;
    const prompt = promptOf(task, template, {
      ...(question !== undefined && { question }),
      ...(categories && { categories }),
    });
    return [{ key, image: image!, prompt }];
  });
}
