import { readFileSync } from 'node:fs';
import { describe, type ErrorCode, PerceptionError } from '../errors.js';
import { type Line, maxLineBytes } from '../files/jsonl.js';
import type { GroundTruth } from '../rewards/ground-truth.js';
import { compileRecipe, type RecipeInput, type RecipeName, recipes } from '../rewards/recipes.js';
import { UsageError } from './usage.js';

/** A recipe that lines are scored with, under the name it was called by. */
export interface NamedRecipe {
  name: string;
  recipe: RecipeName | RecipeInput;
  /** Terms in the recipe's order, with their weights in the total. */
  weights: Readonly<Record<string, number>>;
}

/** Why a line was not scored. */
export interface LineError {
  code: ErrorCode;
  message: string;
}

/** What one line asks for; a bad one has `error` and no completions. */
export interface Entry {
  line: number;
  /** The line's id as JSON, ready to be written back. */
  id?: string;
  recipe?: NamedRecipe;
  completions: readonly string[];
  /** Of all its completions. */
  groundTruth?: GroundTruth;
  /** The line holds a list of completions, which are a group. */
  isGroup: boolean;
  error?: LineError;
}

/** Consecutive entries, cut where a group ends. */
export interface Batch {
  entries: Entry[];
  /** Group g is `entries[groupStarts[g] .. groupStarts[g + 1])`; the last one ends with the batch. */
  groupStarts: number[];
}

const presets = new Map<string, NamedRecipe>();

function named(name: string, recipe: RecipeName | RecipeInput): NamedRecipe {
  const { termNames, weights } = compileRecipe(recipe);
  return { name, recipe, weights: Object.fromEntries(termNames.map((term, i) => [term, weights[i]!])) };
}

/** @throws PerceptionError INVALID_RECIPE */
function presetOf(name: string): NamedRecipe {
  let found = presets.get(name);
  if (!found) {
    found = named(name, name as RecipeName);
    presets.set(name, found);
  }
  return found;
}

/** The recipe that `--recipe` means: a preset, or a JSON file. @throws UsageError */
export function recipeOption(value: string): NamedRecipe {
  if (Object.hasOwn(recipes, value)) return presetOf(value);
  let text: string;
  try {
    text = readFileSync(value, 'utf8');
  } catch (error) {
    throw new UsageError(
      [
        `--recipe: expected the name of a preset or the path of a JSON file, received "${value}" (${(error as Error).message})`,
        'Presets:',
        ...Object.keys(recipes).map((name) => `  ${name}`),
      ].join('\n'),
    );
  }
  try {
    const recipe = JSON.parse(text) as RecipeInput;
    // The library keeps the prepared form of a vocabulary from batch to batch where it cannot change.
    if (typeof recipe?.vocabulary === 'object') Object.freeze(recipe.vocabulary);
    return named(value, recipe);
  } catch (error) {
    throw new UsageError(`--recipe ${value}: ${(error as Error).message}`);
  }
}

/** Reads entries out of lines. Total: a line that cannot be used becomes an entry with `error`. */
export function readEntry(
  line: Line,
  fallback: NamedRecipe | undefined,
  groupSize: number | undefined,
): Entry {
  const entry: Entry = { line: line.number, completions: [], isGroup: false };
  try {
    const members = parse(line);
    if (members.id !== undefined) entry.id = JSON.stringify(members.id);
    fill(entry, members, fallback, groupSize);
  } catch (error) {
    entry.completions = [];
    entry.error =
      error instanceof PerceptionError
        ? { code: error.code, message: error.message }
        : // JSON.stringify overflows the stack on an id nested some thousand levels deep.
          { code: 'INVALID_INPUT', message: `the line cannot be read: ${(error as Error).message}` };
  }
  return entry;
}

function bad(message: string): PerceptionError {
  return new PerceptionError('INVALID_INPUT', message);
}

function parse(line: Line): Record<string, unknown> {
  if ('problem' in line) {
    if (line.problem === 'not-utf8') throw bad('expected UTF-8 text, received other bytes');
    throw new PerceptionError(
      'TOO_LARGE',
      `expected a line of at most ${maxLineBytes / 1024 / 1024} MiB, received a longer one; is the file JSON lines?`,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(line.text);
  } catch (error) {
    throw bad(`expected a JSON object, received text that is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw bad(`expected a JSON object with completion and groundTruth, received ${describe(value)}`);
  }
  return value as Record<string, unknown>;
}

function fill(
  entry: Entry,
  members: Record<string, unknown>,
  fallback: NamedRecipe | undefined,
  groupSize: number | undefined,
): void {
  const { completion, completions, groundTruth, recipe } = members;
  if ((completion === undefined) === (completions === undefined)) {
    throw bad(`expected either completion or completions, received ${describe(members)}`);
  }
  if (completions !== undefined) {
    if (groupSize !== undefined) {
      throw bad('completions: a line with a list is a group by itself; leave --group-size out');
    }
    if (!Array.isArray(completions) || completions.length === 0) {
      throw bad(`completions: expected a list of strings, at least one, received ${describe(completions)}`);
    }
    const odd = completions.findIndex((text) => typeof text !== 'string');
    if (odd >= 0) throw bad(`completions[${odd}]: expected a string, received ${describe(completions[odd])}`);
    entry.isGroup = true;
  } else if (typeof completion !== 'string') {
    throw bad(`completion: expected a string, received ${describe(completion)}`);
  }
  if (typeof groundTruth !== 'object' || groundTruth === null || Array.isArray(groundTruth)) {
    throw bad(`groundTruth: expected an object, received ${describe(groundTruth)}`);
  }
  if (recipe !== undefined && typeof recipe !== 'string') {
    throw bad(`recipe: expected the name of a preset, received ${describe(recipe)}`);
  }
  const resolved = recipe === undefined ? fallback : presetOf(recipe);
  if (!resolved)
    throw bad('recipe: expected the name of a preset in the line, or --recipe; received neither');
  entry.recipe = resolved;
  entry.groundTruth = groundTruth as GroundTruth;
  entry.completions = completions === undefined ? [completion as string] : (completions as string[]);
}

// Long answers fill a batch before its number of completions does.
const maxBatchCharacters = 16 * 1024 * 1024;

/**
 * Gathers entries into batches of whole groups. With a group size, groups are counted over the lines that are not
 * blank, so that a bad line shrinks its own group and moves no other.
 */
export class Batcher {
  readonly #groupSize: number | undefined;
  readonly #target: number;
  #batch: Batch = { entries: [], groupStarts: [] };
  #groupLength = 0;
  #completions = 0;
  #characters = 0;

  constructor(groupSize: number | undefined, target: number) {
    this.#groupSize = groupSize;
    this.#target = target;
  }

  /** A batch, where this entry has made it full. */
  add(entry: Entry): Batch | undefined {
    const { entries, groupStarts } = this.#batch;
    if (this.#groupLength === 0) groupStarts.push(entries.length);
    else this.#refuseOtherRecipe(entry);
    entries.push(entry);
    this.#groupLength = (this.#groupLength + 1) % (this.#groupSize ?? 1);
    this.#completions += Math.max(1, entry.completions.length);
    for (const text of entry.completions) this.#characters += text.length;
    const full = this.#completions >= this.#target || this.#characters >= maxBatchCharacters;
    return full && this.#groupLength === 0 ? this.take() : undefined;
  }

  /** What is left at the end of the input, a last group that is not complete included. */
  take(): Batch | undefined {
    const batch = this.#batch;
    this.#batch = { entries: [], groupStarts: [] };
    this.#groupLength = 0;
    this.#completions = 0;
    this.#characters = 0;
    return batch.entries.length > 0 ? batch : undefined;
  }

  /** As `take`, after an interruption: a group that was being read is left out, since its advantages would be wrong. */
  takeWholeGroups(): Batch | undefined {
    if (this.#groupLength > 0) this.#batch.entries.length = this.#batch.groupStarts.pop()!;
    return this.take();
  }

  #refuseOtherRecipe(entry: Entry): void {
    if (!entry.recipe) return;
    const { entries, groupStarts } = this.#batch;
    for (let i = groupStarts.at(-1)!; i < entries.length; i++) {
      const { recipe, line } = entries[i]!;
      if (!recipe) continue;
      if (recipe === entry.recipe) return;
      entry.error = {
        code: 'INVALID_INPUT',
        message: `recipe: expected ${recipe.name}, the recipe of this group (see line ${line}), received ${entry.recipe.name}; does --group-size fit the file?`,
      };
      delete entry.recipe;
      entry.completions = [];
      return;
    }
  }
}
