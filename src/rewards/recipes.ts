import { invalid, PerceptionError } from '../errors.js';
import type { NativeRecipe } from '../native/binding.js';
import { type Vocabulary, type VocabularyOption, vocabularyOf } from './vocabulary.js';

export type Task = 'grounding' | 'detection' | 'counting' | 'ocr';
export type CoordinateSpace = 'pixels' | 'per-mille' | 'unit';

/** How a completion is read; docs/parsing.md. */
export type Reader = 'any' | 'pr1-grounding' | 'pr1-detection' | 'pr1-counting' | 'text';

export type TermName =
  | 'format'
  | 'iou'
  | 'f1'
  | 'class'
  | 'missing'
  | 'counting'
  | 'count'
  | 'proximity'
  | 'similarity'
  | 'precision'
  | 'recall'
  | 'bleu';

/**
 * How predictions are paired with objects, each with one at most: at the least total cost; greedily, the cheapest pair
 * first, then the cheapest of what is still free, and so on; or the i-th prediction that can be used with the i-th object.
 */
export type MatchingMethod = 'hungarian' | 'greedy' | 'in-order';

/** What a detection's pairs cost, `l1 * |Δ(centre, size)| - giou * GIoU - class * p(true class)`, and how they are found. */
export interface Matcher {
  /** Default 'hungarian'. */
  method?: MatchingMethod;
  l1: number;
  giou: number;
  class: number;
  /** Matched pairs whose IoU is not above this are dropped. */
  minIou: number;
}

/**
 * A reward as plain JSON. The total is the sum of `terms` (value times weight) less `missingPenalty` times the term
 * `missing`, clamped. Terms of weight 0 are reported but not summed. See docs/recipes.md.
 */
export interface Recipe {
  /** A preset or recipe that this one starts from; its own members replace the other's. */
  extends?: RecipeName;
  task: Task;
  reader: Reader;
  terms: Partial<Record<TermName, number>>;
  clamp?: readonly [low: number, high: number];
  /** The space in which predictions and ground truth are read unless the call says otherwise. */
  coordinates?: CoordinateSpace;
  /** A completion whose format is 0 scores 0. */
  formatGate?: boolean;
  /** Items that cannot be used count as predictions that match nothing, instead of only in the format. */
  countFaulty?: boolean;
  /** Detection: only the format is scored where nothing was predicted, nothing was there or nothing matched. */
  formatOnlyWithoutMatch?: boolean;
  /** Grounding: the power the IoU is raised to. */
  iouPower?: number;
  /** Detection: added to denominators. */
  iouEpsilon?: number;
  /** Detection; counting has the method alone, since its pairs cost their distance. */
  matcher?: Matcher | Pick<Matcher, 'method'>;
  /** Detection: taken off for each share of unmatched predictions and unmatched objects. */
  missingPenalty?: number;
  vocabulary?: VocabularyOption;
}

export type RecipeName =
  | 'perception-r1/grounding'
  | 'perception-r1/grounding-strict'
  | 'perception-r1/detection'
  | 'perception-r1/detection-no-penalty'
  | 'perception-r1/detection-strict'
  | 'perception-r1/counting'
  | 'perception-r1/counting-strict'
  | 'perception-r1/ocr';

/** A recipe, or some members of one and the preset that the rest comes from. */
export type RecipeInput = Recipe | (Partial<Recipe> & { extends: RecipeName });

const grounding: Recipe = {
  task: 'grounding',
  reader: 'pr1-grounding',
  coordinates: 'per-mille',
  terms: { iou: 1, format: 1 },
  iouPower: 2,
};

const detection: Recipe = {
  task: 'detection',
  reader: 'pr1-detection',
  coordinates: 'pixels',
  terms: { format: 0.25, f1: 0.75, class: 1, iou: 1 },
  missingPenalty: 0.5,
  clamp: [0, 3],
  matcher: { l1: 5, giou: 2, class: 1, minIou: 0.5 },
  iouEpsilon: 1e-8,
  formatOnlyWithoutMatch: true,
  vocabulary: 'coco-80',
};

const counting: Recipe = {
  task: 'counting',
  reader: 'pr1-counting',
  coordinates: 'per-mille',
  terms: { counting: 1, count: 0, proximity: 0, format: 0 },
  formatGate: true,
};

/**
 * The rewards of Perception-R1 (arXiv 2504.07954). `perception-r1/*` give what the released code gives, faults included;
 * the `-strict` twins do the right thing where copying a fault would harm. docs/recipes.md lists every difference.
 */
export const recipes: Readonly<Record<RecipeName, Recipe>> = deepFreeze({
  'perception-r1/grounding': grounding,
  'perception-r1/grounding-strict': { ...grounding, reader: 'any', iouPower: 1 },
  'perception-r1/detection': detection,
  'perception-r1/detection-no-penalty': { ...detection, missingPenalty: 0 },
  'perception-r1/detection-strict': {
    ...detection,
    reader: 'any',
    countFaulty: true,
    formatOnlyWithoutMatch: false,
    iouEpsilon: 0,
  },
  'perception-r1/counting': counting,
  'perception-r1/counting-strict': {
    ...counting,
    reader: 'any',
    formatGate: false,
    countFaulty: true,
    clamp: [0, 1],
  },
  'perception-r1/ocr': { task: 'ocr', reader: 'text', terms: { similarity: 1 } },
});

function deepFreeze<T extends object>(object: T): Readonly<T> {
  for (const value of Object.values(object))
    if (typeof value === 'object' && value !== null) deepFreeze(value);
  return Object.freeze(object);
}

// Orders of core/reward/recipe.h.
const tasks: readonly Task[] = ['grounding', 'detection', 'counting', 'ocr'];
const readers: readonly Reader[] = ['any', 'pr1-grounding', 'pr1-detection', 'pr1-counting', 'text'];
/** @internal */
export const spaces: readonly CoordinateSpace[] = ['pixels', 'per-mille', 'unit'];
const matchingMethods: readonly MatchingMethod[] = ['hungarian', 'greedy', 'in-order'];
const termNames: readonly TermName[] = [
  'format',
  'iou',
  'f1',
  'class',
  'missing',
  'counting',
  'count',
  'proximity',
  'similarity',
  'precision',
  'recall',
  'bleu',
];

const termsOf: Readonly<Record<Task, readonly TermName[]>> = {
  grounding: ['format', 'iou'],
  detection: ['format', 'f1', 'class', 'iou', 'missing'],
  counting: ['format', 'counting', 'count', 'proximity'],
  ocr: ['similarity', 'f1', 'precision', 'recall', 'bleu'],
};

const readersOf: Readonly<Record<Task, readonly Reader[]>> = {
  grounding: ['any', 'pr1-grounding'],
  detection: ['any', 'pr1-detection'],
  counting: ['any', 'pr1-counting'],
  ocr: ['text'],
};

const matcherMembersOf: Readonly<Record<Task, readonly (keyof Matcher)[]>> = {
  grounding: [],
  detection: ['method', 'l1', 'giou', 'class', 'minIou'],
  counting: ['method'],
  ocr: [],
};

const members: readonly (keyof Recipe)[] = [
  'extends',
  'task',
  'reader',
  'terms',
  'clamp',
  'coordinates',
  'formatGate',
  'countFaulty',
  'formatOnlyWithoutMatch',
  'iouPower',
  'iouEpsilon',
  'matcher',
  'missingPenalty',
  'vocabulary',
];

/** @internal A checked recipe. */
export interface CompiledRecipe {
  /** The preset's name, or 'custom'. */
  name: string;
  task: Task;
  reader: Reader;
  coordinates: CoordinateSpace;
  termNames: readonly TermName[];
  weights: readonly number[];
  vocabulary: Vocabulary | undefined;
  native: NativeRecipe;
}

const compiledPresets = new Map<string, CompiledRecipe>();

/** @internal Checks a recipe and turns it into numbers. @throws PerceptionError INVALID_RECIPE */
export function compileRecipe(input: RecipeName | RecipeInput): CompiledRecipe {
  if (typeof input === 'string') {
    let compiled = compiledPresets.get(input);
    if (!compiled) {
      compiled = compile(preset(input, 'recipe'), input);
      compiledPresets.set(input, compiled);
    }
    return compiled;
  }
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw invalid('INVALID_RECIPE', 'recipe', 'the name of a preset or a recipe object', input);
  }
  for (const key of Object.keys(input)) {
    if (!(members as readonly string[]).includes(key)) {
      throw new PerceptionError(
        'INVALID_RECIPE',
        `recipe.${key}: unknown member; known are ${members.join(', ')}`,
      );
    }
  }
  const base = input.extends === undefined ? undefined : preset(input.extends, 'recipe.extends');
  return compile({ ...base, ...input } as Recipe, 'custom');
}

function preset(name: string, argument: string): Recipe {
  if (!Object.hasOwn(recipes, name)) {
    throw invalid('INVALID_RECIPE', argument, `one of ${Object.keys(recipes).join(', ')}`, name);
  }
  return recipes[name as RecipeName];
}

function compile(recipe: Recipe, name: string): CompiledRecipe {
  const task = oneOf(recipe.task, tasks, 'recipe.task');
  oneOf(recipe.reader, readersOf[task], `recipe.reader of a ${task} recipe`);
  const coordinates = oneOf(recipe.coordinates ?? 'pixels', spaces, 'recipe.coordinates');
  const weights = weightsOf(recipe, task);
  const clamp = recipe.clamp ?? [-Infinity, Infinity];
  if (!Array.isArray(clamp) || clamp.length !== 2 || !(clamp[0] <= clamp[1])) {
    throw invalid('INVALID_RECIPE', 'recipe.clamp', '[low, high] with low <= high', clamp);
  }
  const vocabulary = task === 'detection' ? vocabularyOf(recipe.vocabulary ?? 'coco-80') : undefined;
  const iouPower = recipe.iouPower ?? 1;
  if (!(iouPower > 0) || !Number.isFinite(iouPower)) {
    throw invalid('INVALID_RECIPE', 'recipe.iouPower', 'a number above 0', iouPower);
  }
  return {
    name,
    task,
    reader: recipe.reader,
    coordinates,
    termNames: [...weights.keys()],
    weights: [...weights.values()],
    vocabulary,
    native: {
      task: tasks.indexOf(task),
      reader: readers.indexOf(recipe.reader),
      terms: Int32Array.from(weights.keys(), (term) => termNames.indexOf(term)),
      weights: Float64Array.from(weights.values()),
      clampLow: clamp[0],
      clampHigh: clamp[1],
      // The counting reward measures distances against the diagonal of 0..1000; the released grounding reader answers in it.
      space: task === 'counting' || recipe.reader === 'pr1-grounding' ? spaces.indexOf('per-mille') : -1,
      formatGate: flag(recipe.formatGate, 'formatGate'),
      countFaulty: flag(recipe.countFaulty, 'countFaulty'),
      formatOnlyWithoutMatch: flag(recipe.formatOnlyWithoutMatch, 'formatOnlyWithoutMatch'),
      iouPower,
      iouEpsilon: atLeastZero(recipe.iouEpsilon ?? 0, 'recipe.iouEpsilon'),
      ...matcherOf(recipe, task),
      classes: vocabulary?.classes ?? 1,
    },
  };
}

type NativeMatcher = Pick<NativeRecipe, 'matching' | 'costL1' | 'costGiou' | 'costClass' | 'minIou'>;

function matcherOf(recipe: Recipe, task: Task): NativeMatcher {
  const known = matcherMembersOf[task];
  const matcher: Partial<Matcher> | undefined = recipe.matcher;
  if (matcher === undefined ? task === 'detection' : typeof matcher !== 'object' || matcher === null) {
    throw invalid('INVALID_RECIPE', 'recipe.matcher', `{${known.join(', ')}} for ${task}`, matcher);
  }
  for (const key of Object.keys(matcher ?? {})) {
    if (!(known as readonly string[]).includes(key)) {
      throw new PerceptionError(
        'INVALID_RECIPE',
        `recipe.matcher.${key}: unknown member for ${task}; known are ${known.join(', ') || 'none'}`,
      );
    }
  }
  const method = oneOf(matcher?.method ?? 'hungarian', matchingMethods, 'recipe.matcher.method');
  const cost = (key: Exclude<keyof Matcher, 'method'>): number =>
    task === 'detection' ? atLeastZero(matcher?.[key], `recipe.matcher.${key}`) : 0;
  return {
    matching: matchingMethods.indexOf(method),
    costL1: cost('l1'),
    costGiou: cost('giou'),
    costClass: cost('class'),
    minIou: cost('minIou'),
  };
}

function weightsOf(recipe: Recipe, task: Task): Map<TermName, number> {
  if (typeof recipe.terms !== 'object' || recipe.terms === null || Array.isArray(recipe.terms)) {
    throw invalid('INVALID_RECIPE', 'recipe.terms', 'an object of weights by term', recipe.terms);
  }
  const weights = new Map<TermName, number>();
  for (const [term, weight] of Object.entries(recipe.terms)) {
    oneOf(term as TermName, termsOf[task], `a term of a ${task} recipe`);
    if (typeof weight !== 'number' || !Number.isFinite(weight)) {
      throw invalid('INVALID_RECIPE', `recipe.terms.${term}`, 'a finite weight', weight);
    }
    weights.set(term as TermName, weight);
  }
  if (weights.size === 0) throw invalid('INVALID_RECIPE', 'recipe.terms', 'at least one term', recipe.terms);
  if (task === 'detection') {
    const penalty = atLeastZero(recipe.missingPenalty ?? 0, 'recipe.missingPenalty');
    weights.set('missing', (weights.get('missing') ?? 0) - penalty);
  }
  return weights;
}

function oneOf<T extends string>(value: T, choices: readonly T[], name: string): T {
  if (!choices.includes(value))
    throw invalid('INVALID_RECIPE', name, choices.map((c) => `'${c}'`).join(' or '), value);
  return value;
}

function atLeastZero(value: unknown, name: string): number {
  if (typeof value !== 'number' || !(value >= 0) || !Number.isFinite(value)) {
    throw invalid('INVALID_RECIPE', name, 'a finite number of at least 0', value);
  }
  return value;
}

function flag(value: unknown, name: string): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    throw invalid('INVALID_RECIPE', `recipe.${name}`, 'a boolean', value);
  }
  return value === true;
}
