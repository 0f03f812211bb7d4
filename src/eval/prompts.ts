import type { EvalTask } from './evaluation.js';

/** What Perception-R1's evaluation asks; the image stands before it. */
const prompts: Readonly<Record<EvalTask, string>> = {
  detection:
    'Locate every item from the category list in the image and output the coordinates in JSON format. The category set includes {categories}.',
  grounding: 'Output the bounding box of the {problem} in the image.',
  counting: 'Output all the bounding boxes of the {question}',
  ocr: 'OCR this image: ',
};

/** Tokens that an answer may have. Those of grounding and detection are Perception-R1's. */
export const maxTokens: Readonly<Record<EvalTask, number>> = {
  detection: 4096,
  grounding: 512,
  counting: 2048,
  ocr: 4096,
};

/**
 * The text that a model is asked.
 * @param template instead of Perception-R1's: {problem} or {question} is what is asked of the image, {categories} the
 * names that detection knows
 */
export function promptOf(
  task: EvalTask,
  template: string | undefined,
  { question, categories }: { question?: string; categories?: readonly string[] },
): string {
  return (template ?? prompts[task]).replaceAll(/\{(problem|question|categories)\}/g, (_, name: string) =>
    name === 'categories' ? (categories ?? []).join(', ') : (question ?? ''),
  );
}

/** Whether a template has a place for what is asked; without one every image would be asked the same. */
export const asksSomething = (task: EvalTask, template: string): boolean =>
  task === 'detection' || task === 'ocr' || /\{(problem|question)\}/.test(template);
