import { DeviceArguments, onDevice } from '../device/arguments.js';
import { type DeviceChoice, goesToGpu, work } from '../device/choose.js';
import { type DeviceTensor, deviceTensor } from '../device/tensor.js';
import { describe, invalid, PerceptionError } from '../errors.js';
import type { DeviceHandle } from '../native/binding.js';
import { type Call, runAsync, runSync } from '../native/load.js';
import { type AdvantageFormula, evenOffsets, formulaOptions, nativeFormula } from '../ops/advantages.js';
import { optionsObject, sizeOf, typedArray, wholeNumber } from '../ops/validate.js';
import { type CompiledRecipe, compileRecipe, type RecipeInput, type RecipeName } from './recipes.js';

/** Lists of boxes or points, filled up to one length: `values` are those of a row-major tensor of `shape`. */
export interface Padded {
  values: Float32Array;
  shape: readonly number[];
}

/** N answers and T ground truths as numbers; N is a multiple of T: answers `i * N / T ...` belong to ground truth i. */
export interface ObjectsRequest extends DeviceChoice {
  /** A preset's name, or a recipe; of any task but OCR. */
  recipe: RecipeName | RecipeInput;
  /** Boxes x1 y1 x2 y2 `[N, P, 4]`, for grounding also `[N, 4]`; points in per-mille `[N, P, 2]`. */
  predictions: Padded;
  /** Detection: `[N * P]` labels, any numbers that both sides share, below 0 for one that is not known. */
  predictionLabels?: Int32Array;
  /** `[N]`: how many of each answer's objects are real. Default all. */
  predictionCounts?: Int32Array;
  /** `[T, M, 4]`, for grounding `[T, 4]`, points `[T, M, 2]`, in the unit of the predictions. */
  truth: Padded;
  /** Detection: `[T * M]`. */
  truthLabels?: Int32Array;
  /** `[T]`; not for grounding. Default all. */
  truthCounts?: Int32Array;
  /** The formula of the advantages, whose groups are the answers to one ground truth. */
  advantages?: AdvantageFormula;
}

/** {@link ObjectsRequest} on a GPU: float32 values, int32 labels `[N, P]` and `[T, M]` and counts, all on one device. */
export interface DeviceObjectsRequest {
  recipe: RecipeName | RecipeInput;
  predictions: DeviceTensor;
  predictionLabels?: DeviceTensor<Int32Array>;
  predictionCounts?: DeviceTensor<Int32Array>;
  truth: DeviceTensor;
  truthLabels?: DeviceTensor<Int32Array>;
  truthCounts?: DeviceTensor<Int32Array>;
  advantages?: AdvantageFormula;
}

/** `A` is a Float32Array, or a DeviceTensor of float32. */
export interface ObjectScores<A = Float32Array> {
  /** `[N]` totals. */
  rewards: A;
  /** `[N]` values of each of the recipe's terms, before its weight. */
  terms: Record<string, A>;
  /** `[N]` group-relative advantages. */
  advantages: A;
  /** `[T]` mean and standard deviation of the rewards of each ground truth's answers. */
  mean: A;
  std: A;
}

const shared = [
  'recipe',
  'predictions',
  'predictionLabels',
  'predictionCounts',
  'truth',
  'truthLabels',
  'truthCounts',
  'advantages',
] as const satisfies readonly (keyof ObjectsRequest & keyof DeviceObjectsRequest)[];

function recipeOf(request: ObjectsRequest | DeviceObjectsRequest): CompiledRecipe {
  const recipe = compileRecipe(request.recipe);
  if (recipe.task === 'ocr') {
    throw new PerceptionError(
      'INVALID_RECIPE',
      'recipe: expected one over boxes or points, received one for ocr',
    );
  }
  const labels = recipe.task === 'detection' ? [] : (['predictionLabels', 'truthLabels'] as const);
  const counts = recipe.task === 'grounding' ? (['truthCounts'] as const) : [];
  for (const name of [...labels, ...counts]) {
    if (request[name] === undefined) continue;
    throw new PerceptionError(
      'INVALID_ARGUMENT',
      `${name}: expected none with a recipe for ${recipe.task}, received some`,
    );
  }
  return recipe;
}

/** Answers per ground truth. */
function perTruth(
  { entries: answers }: { entries: number },
  { entries: prompts }: { entries: number },
): number {
  if (prompts === 0 ? answers !== 0 : answers === 0 || answers % prompts !== 0) {
    throw new PerceptionError(
      'SHAPE_MISMATCH',
      `predictions: expected a multiple of ${prompts} entries, as many as truth or that many times more, received ${answers}`,
    );
  }
  return prompts === 0 ? 1 : answers / prompts;
}

/** The shapes that values may have. */
function shapesOf({ task }: CompiledRecipe, entries: string, rows: string): (string | number)[][] {
  if (task === 'counting') return [[entries, rows, 2]];
  const lists = [entries, rows, 4];
  return task === 'grounding' ? [lists, [entries, 4]] : [lists];
}

/** `[n, rows, width]` of such a shape. */
const sizesOf = (shape: readonly number[]): [number, number] => [
  shape[0]!,
  shape.length === 3 ? shape[1]! : 1,
];

// ---- typed arrays

/** Predictions, or ground truth. */
interface Side {
  values: Float32Array;
  entries: number;
  rows: number;
  labels: Int32Array | undefined;
  counts: Int32Array | undefined;
}

function side(
  recipe: CompiledRecipe,
  padded: Padded,
  labels: Int32Array | undefined,
  counts: Int32Array | undefined,
  name: 'predictions' | 'truth',
): Side {
  if (typeof padded !== 'object' || padded === null) {
    throw invalid('INVALID_ARGUMENT', name, '{values, shape}', padded);
  }
  const values = typedArray(padded.values, `${name}.values`, Float32Array);
  const shape = checkedShape(padded.shape, shapesOf(recipe, 'n', 'rows'), `${name}.shape`);
  const size = sizeOf(
    shape.reduce((product, axis) => product * axis, 1),
    `${name}.shape`,
  );
  if (values.length !== size) throw invalid('SHAPE_MISMATCH', `${name}.values`, `${size} values`, values);
  const [entries, rows] = sizesOf(shape);
  const prefix = name === 'truth' ? 'truth' : 'prediction';
  if (recipe.task === 'detection') checkInts(labels, `${prefix}Labels`, entries * rows);
  if (counts !== undefined) checkInts(counts, `${prefix}Counts`, entries);
  return { values, entries, rows, labels, counts };
}

function checkedShape(shape: unknown, shapes: (string | number)[][], name: string): readonly number[] {
  const fits = (axes: (string | number)[], given: unknown[]): boolean =>
    axes.length === given.length && axes.at(-1) === given.at(-1);
  if (!Array.isArray(shape) || !shapes.some((axes) => fits(axes, shape))) {
    const expected = shapes.map((axes) => `[${axes.join(', ')}]`).join(' or ');
    const received = Array.isArray(shape) ? `[${shape.join(', ')}]` : describe(shape);
    throw new PerceptionError('SHAPE_MISMATCH', `${name}: expected ${expected}, received ${received}`);
  }
  return shape.map((size, i) => wholeNumber(size, `${name}[${i}]`, 0));
}

function checkInts(value: unknown, name: string, length: number): void {
  const array = typedArray(value, name, Int32Array);
  if (array.length !== length) throw invalid('SHAPE_MISMATCH', name, `${length} entries`, array);
}

function objectsCall(request: ObjectsRequest): Call<unknown, ObjectScores> {
  const r = optionsObject(request, 'request', [...shared, 'device']) as ObjectsRequest;
  const recipe = recipeOf(r);
  const predictions = side(recipe, r.predictions, r.predictionLabels, r.predictionCounts, 'predictions');
  const truth = side(recipe, r.truth, r.truthLabels, r.truthCounts, 'truth');
  const predictionsPerTruth = perTruth(predictions, truth);
  const formula = nativeFormula(optionsObject(r.advantages, 'advantages', formulaOptions));
  const [count, prompts] = [predictions.entries, truth.entries];
  const gpu = goesToGpu(r.device, () =>
    work.objects(
      count,
      predictions.rows,
      truth.rows,
      predictions.values.byteLength + truth.values.byteLength,
    ),
  );
  const rewards = new Float32Array(count);
  const terms = new Float32Array(sizeOf(recipe.termNames.length * count, 'terms'));
  const advantages = new Float32Array(count);
  const mean = new Float32Array(prompts);
  const std = new Float32Array(prompts);
  const inputs = {
    recipe: recipe.native,
    count,
    predictionsPerTruth,
    predictions: predictions.values,
    predictionRows: predictions.rows,
    truth: truth.values,
    truthRows: truth.rows,
  };
  const none = new Int32Array(0);
  return {
    start(native, async) {
      if (gpu) {
        return native.cudaScoreObjects(
          0,
          {
            ...inputs,
            predictionLabels: predictions.labels,
            predictionCounts: predictions.counts,
            truthLabels: truth.labels,
            truthCounts: truth.counts,
            advantage: formula,
            rewards,
            terms,
            advantages,
            mean,
            std,
          },
          async,
        );
      }
      const scored = native.scoreTensors(
        {
          ...inputs,
          predictionLabels: predictions.labels ?? none,
          predictionCounts: predictions.counts ?? none,
          truthLabels: truth.labels ?? none,
          truthCounts: truth.counts ?? none,
          rewards,
          terms,
        },
        async,
      );
      const groups = evenOffsets(prompts, predictionsPerTruth);
      const compare = () =>
        native.groupAdvantages(rewards, groups, false, prompts, formula, advantages, mean, std, async);
      return async ? (scored as Promise<void>).then(compare) : compare();
    },
    finish: () => ({
      rewards,
      terms: Object.fromEntries(
        recipe.termNames.map((name, i) => [name, terms.subarray(i * count, (i + 1) * count)]),
      ),
      advantages,
      mean,
      std,
    }),
  };
}

// ---- DeviceTensors

function deviceObjectsCall(request: DeviceObjectsRequest): Call<DeviceHandle[], ObjectScores<DeviceTensor>> {
  const r = optionsObject(request, 'request', shared) as DeviceObjectsRequest;
  const recipe = recipeOf(r);
  const args = new DeviceArguments();
  const detection = recipe.task === 'detection';
  const predictions = args.tensor(r.predictions, 'predictions', 'float32', ...shapesOf(recipe, 'N', 'P'));
  const truth = args.tensor(r.truth, 'truth', 'float32', ...shapesOf(recipe, 'T', 'M'));
  const [count, predictionRows] = sizesOf(predictions.shape);
  const [prompts, truthRows] = sizesOf(truth.shape);
  const predictionsPerTruth = perTruth({ entries: count }, { entries: prompts });
  const labels = (value: unknown, name: string, ...shape: string[]): DeviceHandle | undefined =>
    detection ? args.tensor(value, name, 'int32', shape).handle : undefined;
  const inputs = {
    recipe: recipe.native,
    count,
    predictionsPerTruth,
    predictions: predictions.handle,
    predictionRows,
    predictionLabels: labels(r.predictionLabels, 'predictionLabels', 'N', 'P'),
    predictionCounts: args.optional(r.predictionCounts, 'predictionCounts', 'N'),
    truth: truth.handle,
    truthRows,
    truthLabels: labels(r.truthLabels, 'truthLabels', 'T', 'M'),
    truthCounts: args.optional(r.truthCounts, 'truthCounts', 'T'),
    advantage: nativeFormula(optionsObject(r.advantages, 'advantages', formulaOptions)),
    rewards: undefined,
    terms: undefined,
    advantages: undefined,
    mean: undefined,
    std: undefined,
  };
  const { device } = args;
  return {
    start: (native, async) => native.cudaScoreObjects(device, inputs, async),
    finish: (handles) => {
      const floats = (index: number, length: number): DeviceTensor =>
        deviceTensor(handles[index]!, 'float32', [length], device);
      return {
        rewards: floats(0, count),
        terms: Object.fromEntries(recipe.termNames.map((name, i) => [name, floats(4 + i, count)])),
        advantages: floats(1, count),
        mean: floats(2, prompts),
        std: floats(3, prompts),
      };
    },
  };
}

const isOnDevice = (request: ObjectsRequest | DeviceObjectsRequest): boolean =>
  typeof request === 'object' && request !== null && onDevice(...Object.values(request));

/**
 * Rewards and group-relative advantages of answers that are numbers already: boxes with or without labels, or points.
 * The formulas are those of `scoreCompletions`; what a recipe means where there is no text stands in docs/tfjs.md.
 *
 * @throws PerceptionError INVALID_RECIPE, INVALID_ARGUMENT, SHAPE_MISMATCH, INVALID_VALUE (a count beyond its rows, ground
 * truth that is not finite), TOO_LARGE, DETACHED_BUFFER
 * @example
 * scoreObjects({
 *   recipe: 'perception-r1/grounding-strict',
 *   predictions: { values: new Float32Array([0, 0, 2, 2, 1, 0, 3, 2]), shape: [2, 4] },
 *   truth: { values: new Float32Array([1, 0, 3, 2]), shape: [1, 4] },
 * }).terms.iou // [0.333..., 1]
 */
export function scoreObjects(request: ObjectsRequest): ObjectScores;
/**
 * On a GPU, where the tensors are: one kernel from predictions to advantages.
 * @throws PerceptionError as for typed arrays, INVALID_VALUE when a result is read; WRONG_DEVICE, DISPOSED, OUT_OF_MEMORY,
 * DEVICE_LOST
 */
export function scoreObjects(request: DeviceObjectsRequest): ObjectScores<DeviceTensor>;
export function scoreObjects(
  request: ObjectsRequest | DeviceObjectsRequest,
): ObjectScores | ObjectScores<DeviceTensor> {
  return isOnDevice(request)
    ? runSync(deviceObjectsCall(request as DeviceObjectsRequest))
    : runSync(objectsCall(request as ObjectsRequest));
}

/** {@link scoreObjects} off this thread. Typed arrays are copied first and may be changed at once. */
export async function scoreObjectsAsync(request: ObjectsRequest): Promise<ObjectScores>;
export async function scoreObjectsAsync(request: DeviceObjectsRequest): Promise<ObjectScores<DeviceTensor>>;
export async function scoreObjectsAsync(
  request: ObjectsRequest | DeviceObjectsRequest,
): Promise<ObjectScores | ObjectScores<DeviceTensor>> {
  return isOnDevice(request)
    ? runAsync(deviceObjectsCall(request as DeviceObjectsRequest))
    : runAsync(objectsCall(request as ObjectsRequest));
}
