import type { Tensor, Tensor1D, TensorInfo, TensorLike } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { NativeRecipe } from '../native/binding.js';
import { runSync } from '../native/load.js';
import { optionsObject, sizeOf } from '../ops/validate.js';
import {
  type CompiledRecipe,
  compileRecipe,
  type RecipeInput,
  type RecipeName,
  type Task,
} from '../rewards/recipes.js';
import { TensorArguments } from './arguments.js';
import { floats, ints, type Kernel, type Problem, runDetached, runOffThread } from './kernel.js';

export interface GroundingRewardRequest {
  /** float32 `[N, 4]`: the predicted box of each answer, x1 y1 x2 y2. */
  boxes: Tensor | TensorLike;
  /** float32 `[T, 4]` in the same unit. N is a multiple of T: answers `i * N / T ...` belong to prompt i. */
  truthBoxes: Tensor | TensorLike;
  /** Default 'perception-r1/grounding-strict'. */
  recipe?: RecipeName | RecipeInput;
}

export interface DetectionRewardRequest {
  /** float32 `[N, P, 4]`: predicted boxes of each answer, x1 y1 x2 y2, padded to P. */
  boxes: Tensor | TensorLike;
  /** int32 `[N, P]`: their labels; below 0 = unknown. */
  labels: Tensor | TensorLike;
  /** int32 `[N]`: how many of each answer's boxes are real. Default all. */
  counts?: Tensor | TensorLike;
  /** float32 `[T, M, 4]` in the same unit. N is a multiple of T: answers `i * N / T ...` belong to prompt i. */
  truthBoxes: Tensor | TensorLike;
  /** int32 `[T, M]`: labels in the numbers that the predictions use. */
  truthLabels: Tensor | TensorLike;
  /** int32 `[T]`. Default all. */
  truthCounts?: Tensor | TensorLike;
  /** Default 'perception-r1/detection-strict'. */
  recipe?: RecipeName | RecipeInput;
}

export interface CountingRewardRequest {
  /** float32 `[N, P, 2]`: predicted points of each answer, x y in per-mille (0..1000), padded to P. */
  points: Tensor | TensorLike;
  /** int32 `[N]`: how many of each answer's points are real. Default all. */
  counts?: Tensor | TensorLike;
  /** float32 `[T, M, 2]` in per-mille. N is a multiple of T: answers `i * N / T ...` belong to prompt i. */
  truthPoints: Tensor | TensorLike;
  /** int32 `[T]`. Default all. */
  truthCounts?: Tensor | TensorLike;
  /** Default 'perception-r1/counting-strict'. */
  recipe?: RecipeName | RecipeInput;
}

/** A type rather than an interface, so that tf.tidy and tf.dispose take it as a container of tensors. */
export type TensorRewards = {
  /** float32 `[N]` totals. */
  rewards: Tensor1D;
  /** float32 `[N]` values of each of the recipe's terms, before its weight. */
  terms: Record<string, Tensor1D>;
};

interface Attributes {
  recipe: NativeRecipe;
}

/** Sizes of one side: `[n, rows, width]`, or `[n, width]` for one object each. */
const sizes = ({ shape }: { shape: readonly number[] }): [number, number, number] => [
  shape[0]!,
  shape.length === 3 ? shape[1]! : 1,
  shape.at(-1)!,
];

const recipeNumbers = new WeakMap<NativeRecipe, number>();

function recipeNumber(recipe: NativeRecipe): number {
  let number = recipeNumbers.get(recipe);
  if (number === undefined) {
    number = runSync({ start: (native) => native.tensorflowRecipe(recipe), finish: (n) => n });
    recipeNumbers.set(recipe, number);
  }
  return number;
}

const score: Kernel<Attributes> = {
  name: 'PerceptionR1Score',
  call({ predictions, labels, counts, truth, truthLabels, truthCounts }, { recipe }) {
    const [count, predictionRows] = sizes(predictions!);
    const [prompts, truthRows] = sizes(truth!);
    const rewards = new Float32Array(count);
    const terms = new Float32Array(recipe.terms.length * count);
    return {
      start: (native, async) =>
        native.scoreTensors(
          {
            recipe,
            count,
            predictionsPerTruth: prompts ? count / prompts : 1,
            predictions: floats(predictions!),
            predictionRows,
            predictionLabels: ints(labels!),
            predictionCounts: ints(counts!),
            truth: floats(truth!),
            truthRows,
            truthLabels: ints(truthLabels!),
            truthCounts: ints(truthCounts!),
            rewards,
            terms,
          },
          async,
        ),
      finish: () =>
        [rewards, ...Array.from(recipe.terms, (_, i) => terms.subarray(i * count, (i + 1) * count))].map(
          (values) => ({ values, shape: [count] }),
        ),
    };
  },
  execute(tensorflow, { predictions, labels, counts, truth, truthLabels, truthCounts }, { recipe }) {
    const rows3 = (x: TensorInfo): TensorInfo => tensorflow.reshape(x, sizes(x));
    const inputs = [rows3(predictions!), labels!, counts!, rows3(truth!), truthLabels!, truthCounts!];
    const [rewards, terms] = tensorflow.op(this.name, inputs, { recipe: recipeNumber(recipe) }, 2);
    return [rewards!, ...tensorflow.unstack(terms!)];
  },
};

interface Objects {
  values: Tensor;
  labels: Tensor;
  counts: Tensor;
}

function problem(
  args: TensorArguments,
  recipe: CompiledRecipe,
  predictions: Objects,
  truth: Objects,
  names: readonly [predictions: string, truth: string],
): Problem<Attributes> {
  const [count, prompts] = [predictions.values.shape[0]!, truth.values.shape[0]!];
  if (prompts === 0 ? count !== 0 : count === 0 || count % prompts !== 0) {
    throw args.error(
      'SHAPE_MISMATCH',
      names[0],
      `have a multiple of ${prompts} entries along its first axis, as many as '${names[1]}' or that many times more`,
      String(count),
    );
  }
  sizeOf(predictions.values.size, names[0]);
  sizeOf(truth.values.size, names[1]);
  return {
    kernel: score,
    inputs: {
      predictions: predictions.values,
      labels: predictions.labels,
      counts: predictions.counts,
      truth: truth.values,
      truthLabels: truth.labels,
      truthCounts: truth.counts,
    },
    attributes: { recipe: recipe.native },
  };
}

function recipeFor(
  args: TensorArguments,
  task: Task,
  input: RecipeName | RecipeInput | undefined,
): CompiledRecipe {
  const recipe = compileRecipe(input ?? (`perception-r1/${task}-strict` as RecipeName));
  if (recipe.task !== task) {
    throw args.error('INVALID_RECIPE', 'recipe', `be one for ${task}`, `one for ${recipe.task}`);
  }
  return recipe;
}

function grounding(
  args: TensorArguments,
  request: GroundingRewardRequest,
): [Problem<Attributes>, CompiledRecipe] {
  const r = optionsObject(request, 'request', ['boxes', 'truthBoxes', 'recipe']) as GroundingRewardRequest;
  const recipe = recipeFor(args, 'grounding', r.recipe);
  const none = args.optional(undefined, 'counts');
  const objects = (values: Tensor): Objects => ({ values, labels: none, counts: none });
  const boxes = objects(args.tensor(r.boxes, 'boxes', 'float32', ['N', 4]));
  const truth = objects(args.tensor(r.truthBoxes, 'truthBoxes', 'float32', ['T', 4]));
  return [problem(args, recipe, boxes, truth, ['boxes', 'truthBoxes']), recipe];
}

function detection(
  args: TensorArguments,
  request: DetectionRewardRequest,
): [Problem<Attributes>, CompiledRecipe] {
  const r = optionsObject(request, 'request', [
    'boxes',
    'labels',
    'counts',
    'truthBoxes',
    'truthLabels',
    'truthCounts',
    'recipe',
  ]) as DetectionRewardRequest;
  const recipe = recipeFor(args, 'detection', r.recipe);
  const predictions = {
    values: args.tensor<Tensor>(r.boxes, 'boxes', 'float32', ['N', 'P', 4]),
    labels: args.tensor<Tensor>(r.labels, 'labels', 'int32', ['N', 'P']),
    counts: args.optional(r.counts, 'counts', 'N'),
  };
  const truth = {
    values: args.tensor<Tensor>(r.truthBoxes, 'truthBoxes', 'float32', ['T', 'M', 4]),
    labels: args.tensor<Tensor>(r.truthLabels, 'truthLabels', 'int32', ['T', 'M']),
    counts: args.optional(r.truthCounts, 'truthCounts', 'T'),
  };
  return [problem(args, recipe, predictions, truth, ['boxes', 'truthBoxes']), recipe];
}

function counting(
  args: TensorArguments,
  request: CountingRewardRequest,
): [Problem<Attributes>, CompiledRecipe] {
  const r = optionsObject(request, 'request', [
    'points',
    'counts',
    'truthPoints',
    'truthCounts',
    'recipe',
  ]) as CountingRewardRequest;
  const recipe = recipeFor(args, 'counting', r.recipe);
  const none = args.optional(undefined, 'labels');
  const predictions = {
    values: args.tensor<Tensor>(r.points, 'points', 'float32', ['N', 'P', 2]),
    labels: none,
    counts: args.optional(r.counts, 'counts', 'N'),
  };
  const truth = {
    values: args.tensor<Tensor>(r.truthPoints, 'truthPoints', 'float32', ['T', 'M', 2]),
    labels: none,
    counts: args.optional(r.truthCounts, 'truthCounts', 'T'),
  };
  return [problem(args, recipe, predictions, truth, ['points', 'truthPoints']), recipe];
}

type Prepare<R> = (args: TensorArguments, request: R) => [Problem<Attributes>, CompiledRecipe];

function named(outputs: readonly Tensor[], recipe: CompiledRecipe): TensorRewards {
  const [rewards, ...terms] = outputs as Tensor1D[];
  return {
    rewards: rewards!,
    terms: Object.fromEntries(recipe.termNames.map((name, i) => [name, terms[i]!])),
  };
}

function reward<R>(op: string, prepare: Prepare<R>, request: R): TensorRewards {
  return tf.tidy(op, () => {
    const [task, recipe] = prepare(new TensorArguments(op), request);
    return named(runDetached(task), recipe);
  });
}

async function rewardAsync<R>(op: string, prepare: Prepare<R>, request: R): Promise<TensorRewards> {
  let recipe: CompiledRecipe | undefined;
  const outputs = await runOffThread(op, (args) => {
    const [task, compiled] = prepare(args, request);
    recipe = compiled;
    return task;
  });
  return named(outputs, recipe!);
}

/**
 * Rewards of answers with one box each. Gradients stop here.
 *
 * @returns float32 `[N]` rewards and terms
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, INVALID_RECIPE
 * @example groundingReward({ boxes: [[0, 0, 2, 2]], truthBoxes: [[1, 0, 3, 2]] }).terms.iou // [0.333...]
 */
export function groundingReward(request: GroundingRewardRequest): TensorRewards {
  return reward('groundingReward', grounding, request);
}

/** {@link groundingReward} off this thread. */
export async function groundingRewardAsync(request: GroundingRewardRequest): Promise<TensorRewards> {
  return rewardAsync('groundingRewardAsync', grounding, request);
}

/**
 * Rewards of answers with labelled boxes, matched with the ground truth by an exact assignment. Gradients stop here.
 *
 * @returns float32 `[N]` rewards and terms
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, INVALID_RECIPE, INVALID_VALUE (a count beyond its rows)
 */
export function detectionReward(request: DetectionRewardRequest): TensorRewards {
  return reward('detectionReward', detection, request);
}

/** {@link detectionReward} off this thread. */
export async function detectionRewardAsync(request: DetectionRewardRequest): Promise<TensorRewards> {
  return rewardAsync('detectionRewardAsync', detection, request);
}

/**
 * Rewards of answers with points, matched with the ground truth by an exact assignment. Gradients stop here.
 *
 * @returns float32 `[N]` rewards and terms
 * @throws PerceptionError INVALID_ARGUMENT, SHAPE_MISMATCH, INVALID_RECIPE, INVALID_VALUE (a count beyond its rows)
 */
export function countingReward(request: CountingRewardRequest): TensorRewards {
  return reward('countingReward', counting, request);
}

/** {@link countingReward} off this thread. */
export async function countingRewardAsync(request: CountingRewardRequest): Promise<TensorRewards> {
  return rewardAsync('countingRewardAsync', counting, request);
}
