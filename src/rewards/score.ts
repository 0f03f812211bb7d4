import { invalid, PerceptionError } from '../errors.js';
import type { SpaceCounts } from '../native/binding.js';
import { type Call, runAsync, runSync } from '../native/load.js';
import { type AdvantageOptions, formulaOptions, nativeFormula, nativeGroups } from '../ops/advantages.js';
import { packStrings } from '../ops/text.js';
import { optionsObject, wholeNumber } from '../ops/validate.js';
import type { Ragged } from '../ragged.js';
import { type GroundTruth, type PackedTruth, packTruth } from './ground-truth.js';
import {
  type CompiledRecipe,
  type CoordinateSpace,
  compileRecipe,
  type RecipeInput,
  type RecipeName,
  spaces,
} from './recipes.js';

/**
 * In what unit coordinates are: pixels of the image, thousandths of its width and height, or shares of them. Sizes are
 * needed only where pixels have to be converted; those of single images stand in the ground truth.
 */
export interface Coordinates {
  predictions?: CoordinateSpace;
  groundTruth?: CoordinateSpace;
  /** Width and height of the annotated images, where all have the same. */
  imageSize?: readonly [width: number, height: number];
  /** Width and height of the images that the model saw, where the processor resized them; pixel predictions are in it. */
  resizedSize?: readonly [width: number, height: number];
}

export interface ScoreRequest {
  /** A preset's name, or a recipe. */
  recipe: RecipeName | RecipeInput;
  /** What the model wrote, n strings. */
  completions: readonly string[];
  /** One per completion, or one per group of `groupSize` completions. */
  groundTruth: readonly GroundTruth[];
  /** Completions per prompt; the groups of the advantages are consecutive. Default 1, which makes every advantage 0. */
  groupSize?: number;
  /** The space of predictions and ground truth where it is not the recipe's own. */
  coordinates?: CoordinateSpace | Coordinates;
  /** The formula of the advantages; `groupOffsets` or `groupIds` here take the place of `groupSize`. */
  advantages?: AdvantageOptions;
  /** Also return which prediction was matched with which object. Default false. */
  matches?: boolean;
}

export interface ScoreWarning {
  code: 'PREDICTIONS_OUTSIDE_SPACE' | 'GROUND_TRUTH_OUTSIDE_SPACE';
  message: string;
  /** Boxes or points outside the declared space, of `total`. */
  outside: number;
  total: number;
}

export interface Scores {
  /** `[n]` totals. */
  rewards: Float32Array;
  /** `[n]` values of each term, before its weight. */
  terms: Record<string, Float32Array>;
  /** `[n]` group-relative advantages. */
  advantages: Float32Array;
  /** `[n]` fault bits of each completion (see `faults`); 0 is a clean one. */
  status: Uint8Array;
  /** For completion i, per object of its ground truth: the prediction matched with it (counting the boxes or points that could be read), or -1. */
  matches?: Ragged<Int32Array>;
  /** Signs that the batch is not what it was declared to be. */
  warnings: ScoreWarning[];
}

function scoreCall(request: ScoreRequest): Call<SpaceCounts, Scores> {
  const r = optionsObject(request, 'request', [
    'recipe',
    'completions',
    'groundTruth',
    'groupSize',
    'coordinates',
    'advantages',
    'matches',
  ]) as ScoreRequest;
  const recipe = compileRecipe(r.recipe);
  if (r.matches !== undefined && typeof r.matches !== 'boolean') {
    throw invalid('INVALID_ARGUMENT', 'matches', 'a boolean', r.matches);
  }
  if (!Array.isArray(r.completions))
    throw invalid('INVALID_ARGUMENT', 'completions', 'an array of strings', r.completions);
  if (!Array.isArray(r.groundTruth)) {
    throw invalid(
      'INVALID_ARGUMENT',
      'groundTruth',
      'an array, one entry per completion or per group',
      r.groundTruth,
    );
  }
  const count = r.completions.length;
  const groupSize = r.groupSize === undefined ? 1 : wholeNumber(r.groupSize, 'groupSize', 1);
  if (count % groupSize !== 0) {
    throw invalid(
      'SHAPE_MISMATCH',
      'groupSize',
      `a divisor of the number of completions, ${count}`,
      groupSize,
    );
  }
  const perTruth = r.groundTruth.length === count ? 1 : groupSize;
  if (r.groundTruth.length * perTruth !== count) {
    const expected =
      groupSize === 1 ? `${count} entries` : `${count} entries or ${count / groupSize}, one per group`;
    throw invalid('SHAPE_MISMATCH', 'groundTruth', expected, r.groundTruth);
  }
  const formula = optionsObject(r.advantages, 'advantages', [
    ...formulaOptions,
    'groupSize',
    'groupOffsets',
    'groupIds',
  ]);
  const ownGroups =
    formula.groupSize !== undefined || formula.groupOffsets !== undefined || formula.groupIds !== undefined;
  if (
    ownGroups &&
    r.groupSize !== undefined &&
    formula.groupSize !== undefined &&
    formula.groupSize !== r.groupSize
  ) {
    throw invalid(
      'INVALID_ARGUMENT',
      'advantages.groupSize',
      `the same as groupSize, ${r.groupSize}`,
      formula.groupSize,
    );
  }
  const groups = nativeGroups(ownGroups ? formula : { groupSize }, count);
  const { predictions, groundTruth, ...sizes } = coordinatesOf(r.coordinates, recipe);
  const truth = packTruth(recipe.task, r.groundTruth, recipe.vocabulary, sizes);
  requireSizes(recipe, predictions, groundTruth, truth, r.groundTruth.length);
  const completions = packStrings(r.completions, 'completions');

  const terms = new Float32Array(recipe.termNames.length * count);
  const scores: Scores = {
    rewards: new Float32Array(count),
    terms: Object.fromEntries(
      recipe.termNames.map((name, i) => [name, terms.subarray(i * count, (i + 1) * count)]),
    ),
    advantages: new Float32Array(count),
    status: new Uint8Array(count),
    warnings: [],
  };
  if (r.matches && truth.offsets) scores.matches = matchesFor(truth.offsets, count, perTruth);
  return {
    start: (native, async) =>
      native.score(
        {
          recipe: recipe.native,
          vocabulary: recipe.vocabulary?.native,
          completions: completions.bytes,
          completionOffsets: completions.offsets,
          completionsPerTruth: perTruth,
          predictionSpace: spaces.indexOf(predictions),
          truthSpace: spaces.indexOf(groundTruth),
          truthOffsets: truth.offsets,
          truthCoordinates: truth.coordinates,
          truthLabels: truth.labels,
          truthTexts: truth.texts?.bytes,
          truthTextOffsets: truth.texts?.offsets,
          imageSizes: truth.imageSizes,
          resizedSizes: truth.resizedSizes,
          groupOffsets: groups.byId ? undefined : groups.groups,
          groupOf: groups.byId ? groups.groups : undefined,
          groups: groups.count,
          advantage: nativeFormula(formula),
          rewards: scores.rewards,
          terms,
          advantages: scores.advantages,
          status: scores.status,
          matches: scores.matches?.values,
          matchOffsets: scores.matches?.offsets,
        },
        async,
      ),
    finish: (counts) => {
      scores.warnings = warningsOf(counts, predictions, groundTruth);
      return scores;
    },
    release: () => {
      completions.release();
      truth.texts?.release();
    },
  };
}

function matchesFor(truthOffsets: Int32Array, count: number, perTruth: number): Ragged<Int32Array> {
  const offsets = new Int32Array(count + 1);
  for (let i = 0; i < count; i++) {
    const prompt = Math.floor(i / perTruth);
    offsets[i + 1] = offsets[i]! + truthOffsets[prompt + 1]! - truthOffsets[prompt]!;
  }
  return { values: new Int32Array(offsets[count]!), offsets };
}

type ResolvedCoordinates = Coordinates & Required<Pick<Coordinates, 'predictions' | 'groundTruth'>>;

function coordinatesOf(
  option: CoordinateSpace | Coordinates | undefined,
  recipe: CompiledRecipe,
): ResolvedCoordinates {
  const given: Coordinates =
    typeof option === 'string'
      ? { predictions: option, groundTruth: option }
      : optionsObject(option, 'coordinates', ['predictions', 'groundTruth', 'imageSize', 'resizedSize']);
  const { predictions = recipe.coordinates, groundTruth = recipe.coordinates } = given;
  for (const space of [predictions, groundTruth]) {
    if (!spaces.includes(space)) {
      throw invalid('INVALID_ARGUMENT', 'coordinates', spaces.map((s) => `'${s}'`).join(' or '), space);
    }
  }
  if (recipe.reader === 'pr1-grounding' && predictions !== 'per-mille') {
    throw new PerceptionError(
      'INVALID_ARGUMENT',
      `coordinates: the released grounding reader takes answers with box tokens for per-mille and all others for unit coordinates, so '${predictions}' cannot be declared; use 'perception-r1/grounding-strict'`,
    );
  }
  return { ...given, predictions, groundTruth };
}

function requireSizes(
  recipe: CompiledRecipe,
  predictions: CoordinateSpace,
  groundTruth: CoordinateSpace,
  truth: PackedTruth,
  prompts: number,
): void {
  const used = recipe.native.space < 0 ? groundTruth : spaces[recipe.native.space]!;
  if (recipe.task === 'ocr' || ![predictions, groundTruth, used].includes('pixels')) return;
  const converts = predictions !== used || groundTruth !== used;
  for (let i = 0; i < prompts; i++) {
    if (!(converts || truth.resizedSizes?.[2 * i]) || truth.imageSizes?.[2 * i]) continue;
    throw new PerceptionError(
      'INVALID_GROUND_TRUTH',
      `groundTruth[${i}].imageSize: expected [width, height], received none; it is needed to bring predictions (${predictions}) and ground truth (${groundTruth}) together (coordinates.imageSize serves where all images have one size)`,
    );
  }
}

function warningsOf(
  counts: SpaceCounts,
  predictions: CoordinateSpace,
  groundTruth: CoordinateSpace,
): ScoreWarning[] {
  const warnings: ScoreWarning[] = [];
  const check = (
    code: ScoreWarning['code'],
    what: string,
    outside: number,
    total: number,
    space: CoordinateSpace,
  ): void => {
    if (2 * outside <= total) return;
    warnings.push({
      code,
      outside,
      total,
      message: `${outside} of ${total} ${what} lie outside the declared space '${space}' (or, of a space of large numbers, all within 0..1): their coordinates are probably in another one, and rewards will be near zero. Check the model's coordinate convention and the image sizes, and say what they are in \`coordinates\`.`,
    });
  };
  check(
    'PREDICTIONS_OUTSIDE_SPACE',
    'predictions',
    counts.predictionsOutside,
    counts.predictions,
    predictions,
  );
  check(
    'GROUND_TRUTH_OUTSIDE_SPACE',
    'ground truth objects',
    counts.truthsOutside,
    counts.truths,
    groundTruth,
  );
  return warnings;
}

/**
 * Scores a batch of completions against ground truth: per-term rewards, totals and group-relative advantages, in one
 * native call. Every string gets a reward; what was wrong with it is in `status`.
 *
 * @throws PerceptionError INVALID_RECIPE, INVALID_GROUND_TRUTH, INVALID_ARGUMENT, SHAPE_MISMATCH, TOO_LARGE
 * @example
 * scoreCompletions({
 *   recipe: 'perception-r1/counting',
 *   completions: ['<|object_ref_start|>cat<|object_ref_end|><|box_start|>(10,10),(20,20)<|box_end|><|im_end|>'],
 *   groundTruth: [{ points: [[15, 15]] }],
 * }).rewards // [1]
 */
export function scoreCompletions(request: ScoreRequest): Scores {
  return runSync(scoreCall(request));
}

/** {@link scoreCompletions} off this thread: the event loop stays free. Inputs are copied first and may be changed at once. */
export async function scoreCompletionsAsync(request: ScoreRequest): Promise<Scores> {
  return runAsync(scoreCall(request));
}
