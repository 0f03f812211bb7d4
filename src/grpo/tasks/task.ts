import type { GroundTruth } from '../../rewards/ground-truth.js';
import type { RecipeInput, RecipeName } from '../../rewards/recipes.js';

/** Examples to train on, and held-out ones that share no handwritten digit with them. */
export type Split = 'train' | 'eval';

export interface SceneObject {
  /** '0'..'9'. */
  readonly label: string;
  /** Whole per-mille of the image, tight around the ink. */
  readonly box: readonly [x1: number, y1: number, x2: number, y2: number];
}

/** An image, what is asked about it, and the answer. Coordinates are per-mille (0..1000) of the image. */
export interface Example {
  /** `[height * width]`, row by row, 0 (black) to 1 (white). */
  readonly image: Float32Array;
  readonly prompt: string;
  /** What the task's recipe compares completions with. */
  readonly groundTruth: GroundTruth;
  /** The completion that supervised training teaches, without the end token. */
  readonly target: string;
  /** What the answer should name, in the target's order. */
  readonly objects: readonly SceneObject[];
  /** All that is in the image, asked for or not: what supervised training of a dense loss goes by. */
  readonly shown: readonly SceneObject[];
}

/** A source of examples and the reward for answers to them. See docs/tasks.md. */
export interface Task {
  readonly name: TaskName;
  readonly recipe: RecipeName | RecipeInput;
  /** Pixels of every image. */
  readonly height: number;
  readonly width: number;
  /** Tokens of the longest target, the end token included. */
  readonly maxTokens: number;
  /**
   * The example of that number: the same for the same arguments, in any order of calls.
   * @param seed a safe whole number
   * @param index a whole number of at least 0
   */
  example(split: Split, seed: number, index: number): Example;
}

export type TaskName = 'grounding' | 'counting' | 'detection' | 'ocr';

/** @internal An object as the box format of Qwen2-VL names it. */
export function referenceText(label: string): string {
  return `<|object_ref_start|>${label}<|object_ref_end|>`;
}

/** @internal A box in the format of Qwen2-VL. */
export function boxText([x1, y1, x2, y2]: SceneObject['box']): string {
  return `<|box_start|>(${x1},${y1}),(${x2},${y2})<|box_end|>`;
}
