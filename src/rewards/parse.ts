import { invalid } from '../errors.js';
import type { NativeParsed } from '../native/binding.js';
import { runSync } from '../native/load.js';
import { optionsObject } from '../ops/validate.js';
import { compileRecipe, type RecipeInput, type RecipeName } from './recipes.js';

/** What was read out of a completion. */
export interface ParsedCompletion {
  /** `[n, 4]`: x1 y1 x2 y2 as the model wrote them, in the order of the text. */
  boxes: Float32Array;
  /** The label of each box, null where it has none. */
  labels: (string | null)[];
  /** Fault bits of each box (see {@link faults}); an inverted box is kept and flagged. */
  boxFaults: Uint8Array;
  /** `[m, 2]`: x y. */
  points: Float32Array;
  pointLabels: (string | null)[];
  pointFaults: Uint8Array;
  /** Items that could not be read, with their text and fault bits. */
  rejected: { text: string; faults: number }[];
  /** All fault bits of the completion; 0 is a clean one. */
  status: number;
}

export interface ParseOptions {
  /** Read as this recipe does. Left out, the tolerant reader is used, which takes every published syntax. */
  recipe?: RecipeName | RecipeInput;
}

const tolerant = 0; // Reader::kAny

/**
 * Reads boxes, points and labels out of a model's answer. Total and linear: any string gives a result, nothing in it is
 * ever evaluated. Syntaxes: docs/parsing.md.
 * @throws PerceptionError INVALID_ARGUMENT, INVALID_RECIPE
 * @example parseCompletion('[{"bbox_2d": [1, 2, 3, 4], "label": "cat"}]').labels // ['cat']
 */
export function parseCompletion(text: string, options?: ParseOptions): ParsedCompletion {
  if (typeof text !== 'string') throw invalid('INVALID_ARGUMENT', 'text', 'a string', text);
  const { recipe } = optionsObject(options, 'options', ['recipe']);
  const compiled = recipe === undefined ? undefined : compileRecipe(recipe);
  if (compiled?.task === 'ocr') {
    throw invalid(
      'INVALID_ARGUMENT',
      'options.recipe',
      'a recipe whose completions hold boxes or points',
      recipe,
    );
  }
  return runSync<NativeParsed, ParsedCompletion>({
    start: (native) => native.parse(text, compiled?.native.reader ?? tolerant, compiled?.vocabulary?.native),
    finish: (parsed) => parsed,
  });
}
