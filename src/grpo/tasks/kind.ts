import type { Random } from '../../random.js';
import type { GroundTruth } from '../../rewards/ground-truth.js';
import type { RecipeInput } from '../../rewards/recipes.js';
import type { SceneObject, Split } from './task.js';

/** @internal What makes one of the built-in tasks. */
export interface Kind {
  readonly recipe: RecipeInput;
  /** Default of the option. */
  readonly maxObjects: number;
  /** Objects come in the order in which they are read, which the option `order` leaves alone. */
  readonly reading: boolean;
  /** Composes a scene. `objects` are those that the answer names, `shown` all of them. */
  compose(
    random: Random,
    split: Split,
    maxObjects: number,
  ): { image: Float32Array; prompt: string; objects: SceneObject[]; shown: readonly SceneObject[] };
  groundTruth(objects: readonly SceneObject[]): GroundTruth;
  answer(objects: readonly SceneObject[]): string;
  /** How many objects the longest answer names, and its tokens. */
  longest(maxObjects: number): { objects: number; tokens: number };
}
