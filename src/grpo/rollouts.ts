import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { invalid } from '../errors.js';
import type { AdvantageFormula } from '../ops/advantages.js';
import type { RecipeInput, RecipeName } from '../rewards/recipes.js';
import { scoreCompletions } from '../rewards/score.js';
import { countingReward, detectionReward, groundingReward, groupAdvantages } from '../tfjs/index.js';
import { objectsOfTokens } from './objects.js';
import type { Policy, SampleOptions } from './policy.js';
import type { Example, Task } from './tasks/task.js';
import { BoxTokenizer } from './tokenizer.js';

/**
 * How completions become rewards. 'text': decoded to strings and read like any model's. 'tensor': boxes are taken from
 * the tokens and scored where the tokens are; what is not a box (a recipe's format check, OCR) is not seen.
 */
export type ScoringRoute = 'text' | 'tensor';

/** A prompt of a batch, and what it is of. */
export interface Drawn {
  task: Task;
  example: Example;
}

export interface RolloutOptions extends Omit<SampleOptions, 'maxTokens'> {
  maxTokens?: number;
  route: ScoringRoute;
  advantages: AdvantageFormula;
  /** Takes the place of the tasks' own recipes. */
  recipe?: RecipeName | RecipeInput;
}

/** Completions with what they are worth. The tensors are the caller's. */
export interface ScoredRollout {
  /** int32 and float32 `[N, L]`, N = prompts * G. */
  tokens: Tensor2D;
  mask: Tensor2D;
  /** float32 `[N]` */
  advantages: Tensor1D;
  /** `[N]` */
  rewards: Float32Array;
  /** `[N]` each; NaN for completions of tasks without that term. */
  terms: Record<string, Float32Array>;
  /** Seconds. */
  sampling: number;
  scoring: number;
}

/**
 * Draws G completions of each prompt and scores them.
 * @param drawn prompts, those of one task together
 */
export function scoredRollout(
  policy: Policy,
  drawn: readonly Drawn[],
  options: RolloutOptions,
): ScoredRollout {
  const { numGenerations } = options;
  const begun = performance.now();
  const { maxTokens, uniforms, temperature, topK, topP } = options;
  const { tokens, mask } = tf.tidy(() => {
    const encoded = policy.encode(policy.batch(drawn.map(({ example }) => example)));
    return policy.sample(encoded, {
      numGenerations,
      temperature,
      uniforms,
      maxTokens: maxTokens ?? Math.max(...drawn.map(({ task }) => task.maxTokens)),
      ...(topK === undefined ? {} : { topK }),
      ...(topP === undefined ? {} : { topP }),
    });
  });
  const sampled = performance.now();
  const count = drawn.length * numGenerations;
  const rewards = new Float32Array(count);
  const terms: Record<string, Float32Array> = {};
  const advantages = tf.tidy(() => {
    const parts: Tensor1D[] = [];
    for (let from = 0; from < drawn.length; ) {
      const { task } = drawn[from]!;
      let to = from + 1;
      while (to < drawn.length && drawn[to]!.task === task) to++;
      const examples = drawn.slice(from, to).map(({ example }) => example);
      const rows = tf.slice(tokens, [from * numGenerations, 0], [(to - from) * numGenerations, -1]);
      const recipe = options.recipe ?? task.recipe;
      const scores =
        options.route === 'text'
          ? scoreText(policy, rows, examples, recipe, options)
          : scoreTensors(policy, rows, task, examples, recipe, options);
      rewards.set(scores.rewards, from * numGenerations);
      for (const [name, values] of Object.entries(scores.terms)) {
        terms[name] ??= new Float32Array(count).fill(Number.NaN);
        terms[name].set(values, from * numGenerations);
      }
      parts.push(scores.advantages);
      from = to;
    }
    return parts.length === 1 ? parts[0]! : tf.concat1d(parts);
  });
  const scored = performance.now();
  return {
    tokens,
    mask,
    advantages,
    rewards,
    terms,
    sampling: (sampled - begun) / 1000,
    scoring: (scored - sampled) / 1000,
  };
}

interface Scored {
  rewards: Float32Array;
  terms: Record<string, Float32Array>;
  advantages: Tensor1D;
}

/** The completions of `tokens` `[N, L]` as text, up to and with their end token. */
export function decodeRows(policy: Policy, tokens: Tensor2D): string[] {
  const [count, length] = tokens.shape;
  const values = tokens.dataSync<'int32'>();
  return Array.from({ length: count }, (_, i) =>
    policy.tokenizer.decode(values.subarray(i * length, (i + 1) * length)),
  );
}

function scoreText(
  policy: Policy,
  tokens: Tensor2D,
  examples: readonly Example[],
  recipe: RecipeName | RecipeInput,
  { numGenerations, advantages: formula }: RolloutOptions,
): Scored {
  const { rewards, terms, advantages } = scoreCompletions({
    recipe,
    completions: decodeRows(policy, tokens),
    groundTruth: examples.map(({ groundTruth }) => groundTruth),
    groupSize: numGenerations,
    advantages: formula,
  });
  return { rewards, terms, advantages: tf.tensor1d(advantages) };
}

function scoreTensors(
  policy: Policy,
  tokens: Tensor2D,
  task: Task,
  examples: readonly Example[],
  recipe: RecipeName | RecipeInput,
  { numGenerations, advantages: formula }: RolloutOptions,
): Scored {
  const { tokenizer } = policy;
  if (!(tokenizer instanceof BoxTokenizer)) {
    throw invalid('INVALID_ARGUMENT', 'policy.tokenizer', "a BoxTokenizer for the route 'tensor'", tokenizer);
  }
  if (task.name === 'ocr') {
    throw invalid(
      'INVALID_ARGUMENT',
      'route',
      "'text' for the task ocr, whose answers are no boxes",
      'tensor',
    );
  }
  // As many as fit into the tokens, so that none is left out.
  const { boxes, labels, counts } = objectsOfTokens(tokens, tokenizer, Math.max(1, tokens.shape[1] >> 2));
  const most = Math.max(1, ...examples.map(({ objects }) => objects.length));
  const truthBoxes = new Float32Array(examples.length * most * 4);
  const truthLabels = new Int32Array(examples.length * most);
  examples.forEach(({ objects }, i) => {
    objects.forEach(({ box, label }, k) => {
      truthBoxes.set(box, (i * most + k) * 4);
      truthLabels[i * most + k] = Number(label);
    });
  });
  const truth = tf.tensor3d(truthBoxes, [examples.length, most, 4]);
  const truthCounts = tf.tensor1d(
    examples.map(({ objects }) => objects.length),
    'int32',
  );
  const centres = (x: tf.Tensor): tf.Tensor => {
    const corner = (at: number): tf.Tensor => tf.slice(x, [0, 0, at], [-1, -1, 2]);
    return tf.div(tf.add(corner(0), corner(2)), 2);
  };
  const { rewards, terms } =
    task.name === 'detection'
      ? detectionReward({
          recipe,
          boxes,
          labels,
          counts,
          truthBoxes: truth,
          truthLabels: tf.tensor2d(truthLabels, [examples.length, most], 'int32'),
          truthCounts,
        })
      : task.name === 'counting'
        ? countingReward({
            recipe,
            points: centres(boxes),
            counts,
            truthPoints: centres(truth),
            truthCounts,
          })
        : groundingReward({
            recipe,
            boxes: tf.squeeze(tf.slice(boxes, [0, 0, 0], [-1, 1, -1]), [1]),
            truthBoxes: tf.squeeze(tf.slice(truth, [0, 0, 0], [-1, 1, -1]), [1]),
          });
  const advantages = groupAdvantages(rewards, { ...formula, groupSize: numGenerations }) as Tensor1D;
  return {
    rewards: rewards.dataSync<'float32'>().slice(),
    terms: Object.fromEntries(
      Object.entries(terms).map(([name, values]) => [name, values.dataSync<'float32'>().slice()]),
    ),
    advantages,
  };
}
