import type { Scalar, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { invalid } from '../errors.js';
import type { AdvantageFormula } from '../ops/advantages.js';
import { wholeNumber } from '../ops/validate.js';
import { Random } from '../random.js';
import type { RecipeInput, RecipeName } from '../rewards/recipes.js';
import {
  Learner,
  loadWeights,
  type OptimizerOptions,
  storedWeights,
  type TrainingState,
  type TrainingStep,
} from './learner.js';
import { type GrpoLossOptions, grpoDiagnostics, grpoLoss } from './loss.js';
import { Mixture, type WeightedTask } from './mixture.js';
import type { Policy } from './policy.js';
import { type Drawn, type ScoredRollout, type ScoringRoute, scoredRollout } from './rollouts.js';
import type { Example } from './tasks/task.js';

export interface GrpoOptions {
  /** What is trained: its weights change. */
  policy: Policy;
  tasks: readonly WeightedTask[];
  /** Steps in all. */
  steps: number;
  /** Prompts per step. Default 32. */
  promptsPerStep?: number;
  /** G, completions per prompt. Default 8. */
  numGenerations?: number;
  /** Of sampling, and of the log probabilities. Default 1. */
  temperature?: number;
  topK?: number;
  topP?: number;
  /** Default: the longest target of the tasks. */
  maxCompletionLength?: number;
  /** Default 'text'. */
  route?: ScoringRoute;
  /** Takes the place of the tasks' own recipes. */
  recipe?: RecipeName | RecipeInput;
  /** Default: (r - mean) / (std + 1e-4), ddof 1. */
  advantages?: AdvantageFormula;
  /** Default: lossType 'dapo', epsilon 0.2, beta 0 (which needs no reference policy). */
  loss?: GrpoLossOptions;
  /** Passes over each step's completions. Default 1. */
  numIterations?: number;
  /** Updates per pass, over as many parts of the prompts. Default 1. */
  miniBatches?: number;
  /**
   * What becomes of groups whose rewards are all the same, which teach nothing: 'keep' them (they count in the loss's
   * denominator), 'drop' them, or 'resample' other prompts for them, in at most `maxResamples` further batches (DAPO's
   * dynamic sampling). Default 'keep'.
   */
  zeroVariance?: 'keep' | 'drop' | 'resample';
  /** Default 3. */
  maxResamples?: number;
  /** Steps after which the reference policy takes the policy's weights; 0 = never. Default 0. */
  syncReferenceEvery?: number;
  /** Default: learning rate 1e-4 after a warm-up over 10 steps, gradient norm 1. */
  optimizer?: Partial<OptimizerOptions>;
  /** Of prompts and completions. Default 0. */
  seed?: number;
  /** Ends the training after the step under way. */
  signal?: AbortSignal;
}

/** Streams of random numbers that must not be the same. */
const draws = { completions: 1, miniBatches: 2 };

/**
 * Group relative policy optimisation (arXiv 2402.03300) of a policy on perception tasks, as Perception-R1 trains (arXiv
 * 2504.07954): G completions of each prompt, rewards by the recipes, group-relative advantages, clipped updates.
 *
 * @example
 * for await (const { step, metrics } of new GrpoTrainer({ policy, tasks: [{ task }], steps: 200 })) {
 *   console.log(step, metrics['reward/mean']);
 * }
 */
export class GrpoTrainer implements AsyncIterable<TrainingStep> {
  readonly #options: Required<
    Omit<GrpoOptions, 'optimizer' | 'signal' | 'tasks' | 'topK' | 'topP' | 'maxCompletionLength' | 'recipe'>
  > &
    Pick<GrpoOptions, 'topK' | 'topP' | 'maxCompletionLength' | 'recipe'>;
  readonly #signal: AbortSignal | undefined;
  readonly #mixture: Mixture;
  readonly #learner: Learner;
  readonly #reference: Policy | undefined;
  #step = 0;

  /** @throws PerceptionError INVALID_ARGUMENT */
  constructor(options: GrpoOptions) {
    const { optimizer, signal, tasks, ...rest } = options;
    this.#options = {
      promptsPerStep: 32,
      numGenerations: 8,
      temperature: 1,
      route: 'text',
      advantages: {},
      loss: {},
      numIterations: 1,
      miniBatches: 1,
      zeroVariance: 'keep',
      maxResamples: 3,
      syncReferenceEvery: 0,
      seed: 0,
      ...rest,
    };
    const o = this.#options;
    wholeNumber(o.steps, 'steps', 0);
    wholeNumber(o.promptsPerStep, 'promptsPerStep', 1);
    wholeNumber(o.numGenerations, 'numGenerations', 2);
    wholeNumber(o.numIterations, 'numIterations', 1);
    wholeNumber(o.miniBatches, 'miniBatches', 1, o.promptsPerStep);
    if (!(o.temperature > 0)) {
      throw invalid(
        'INVALID_ARGUMENT',
        'temperature',
        'a number above 0: a group must differ',
        o.temperature,
      );
    }
    if (!['keep', 'drop', 'resample'].includes(o.zeroVariance)) {
      throw invalid('INVALID_ARGUMENT', 'zeroVariance', "'keep', 'drop' or 'resample'", o.zeroVariance);
    }
    if (!['text', 'tensor'].includes(o.route)) {
      throw invalid('INVALID_ARGUMENT', 'route', "'text' or 'tensor'", o.route);
    }
    this.#signal = signal;
    this.#mixture = new Mixture(tasks, o.seed);
    this.#learner = new Learner(o.policy, {
      learningRate: 1e-4,
      warmupSteps: 10,
      decay: 'constant',
      ...optimizer,
    });
    this.#reference = (o.loss.beta ?? 0) > 0 ? o.policy.copy() : undefined;
  }

  /** Steps done. */
  get step(): number {
    return this.#step;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TrainingStep, void, void> {
    while (this.#step < this.#options.steps && !this.#signal?.aborted) {
      yield this.#next();
      await new Promise(setImmediate); // signals and timers get their turn
    }
  }

  /** To be saved, and given to {@link GrpoTrainer.restore} of an equal trainer. */
  state(): TrainingState {
    return {
      step: this.#step,
      tensors: {
        ...this.#learner.tensors(),
        ...(this.#reference ? storedWeights('reference', this.#reference) : {}),
      },
    };
  }

  /** @throws PerceptionError INVALID_INPUT */
  restore({ step, tensors }: TrainingState): void {
    this.#learner.restore(tensors);
    if (this.#reference) loadWeights('reference', this.#reference, tensors);
    this.#step = step;
  }

  /** Frees the optimiser's and the reference's tensors; the policy remains. */
  dispose(): void {
    this.#learner.dispose();
    this.#reference?.dispose();
  }

  #next(): TrainingStep {
    const begun = performance.now();
    const collected = this.#collect();
    const collectedAt = performance.now();
    const { sampling, scoring } = collected;
    try {
      const updates = collected.examples.length > 0 ? this.#update(collected) : {};
      this.#step++;
      const { syncReferenceEvery, policy } = this.#options;
      if (this.#reference && syncReferenceEvery > 0 && this.#step % syncReferenceEvery === 0) {
        const current = policy.variables;
        for (const [name, variable] of Object.entries(this.#reference.variables)) {
          variable.assign(current[name]!);
        }
      }
      const ended = performance.now();
      const total = (ended - begun) / 1000;
      const update = (ended - collectedAt) / 1000;
      return {
        step: this.#step,
        metrics: { ...collected.metrics, ...updates },
        timing: {
          'time/data': (collectedAt - begun) / 1000 - sampling - scoring,
          'time/sample': sampling,
          'time/reward': scoring,
          'time/update': update,
          'time/step': total,
          'share/sample': sampling / total,
          'share/reward': scoring / total,
          'share/update': update / total,
          tokens_per_second: collected.tokenCount / total,
        },
      };
    } finally {
      tf.dispose([collected.tokens, collected.mask, collected.advantages]);
    }
  }

  /** The completions of a step, with advantages; those of dropped groups left out. */
  #collect(): Collected {
    const { policy, promptsPerStep, numGenerations, seed, zeroVariance, maxResamples } = this.#options;
    const kept: { examples: Example[]; rollout: ScoredRollout; groups: number[] }[] = [];
    const statistics = new Statistics(numGenerations);
    let missing = promptsPerStep;
    const attempts = zeroVariance === 'resample' ? 1 + maxResamples : 1;
    let [sampling, scoring] = [0, 0];
    for (let attempt = 0; attempt < attempts && missing > 0; attempt++) {
      const drawn = this.#draw(attempt);
      const random = new Random(seed, draws.completions, this.#step, attempt);
      const { maxCompletionLength, ...options } = this.#options;
      const rollout = scoredRollout(policy, drawn, {
        ...options,
        uniforms: (tokens, completions) =>
          Float32Array.from({ length: tokens * completions }, () => random.next()),
        ...(maxCompletionLength === undefined ? {} : { maxTokens: maxCompletionLength }),
      });
      sampling += rollout.sampling;
      scoring += rollout.scoring;
      const varied = statistics.add(drawn, rollout, policy.tokenizer.end);
      const groups = drawn.flatMap((_, group) => (zeroVariance === 'keep' || varied[group] ? [group] : []));
      groups.splice(missing);
      missing -= groups.length;
      kept.push({ examples: groups.map((group) => drawn[group]!.example), rollout, groups });
    }
    const longest = Math.max(...kept.map(({ rollout }) => rollout.tokens.shape[1]));
    const joined = tf.tidy(() => {
      const rows = (pick: (rollout: ScoredRollout) => tf.Tensor): tf.Tensor => {
        const parts = kept.map(({ rollout, groups }) => {
          const x = pick(rollout);
          if (groups.length * numGenerations === x.shape[0]! && kept.length === 1) return x;
          const long =
            x.rank === 2
              ? tf.pad(x, [
                  [0, 0],
                  [0, longest - x.shape[1]!],
                ])
              : x;
          return chosen(long, groups, numGenerations);
        });
        return parts.length === 1 ? tf.clone(parts[0]!) : tf.concat(parts);
      };
      return {
        tokens: rows(({ tokens }) => tokens) as Tensor2D,
        mask: rows(({ mask }) => mask) as Tensor2D,
        advantages: rows(({ advantages }) => advantages) as Tensor1D,
      };
    });
    for (const { rollout } of kept) tf.dispose([rollout.tokens, rollout.mask, rollout.advantages]);
    return {
      ...joined,
      examples: kept.flatMap(({ examples }) => examples),
      metrics: statistics.metrics(promptsPerStep - missing),
      tokenCount: statistics.tokens,
      sampling,
      scoring,
    };
  }

  #draw(attempt: number): Drawn[] {
    const drawn = this.#mixture.batch(this.#step, this.#options.promptsPerStep, attempt);
    // A task's prompts together, so that each is scored in one call.
    return this.#mixture.tasks.flatMap((task) => drawn.filter((one) => one.task === task));
  }

  #update(collected: Collected): Record<string, number> {
    const { policy, numGenerations, numIterations, miniBatches, temperature, loss, seed } = this.#options;
    const groups = collected.examples.map((_, i) => i);
    const parts = Math.min(miniBatches, groups.length);
    const offPolicy = numIterations * parts > 1;
    const random = new Random(seed, draws.miniBatches, this.#step);
    const sums: Record<string, number> = {};
    const add = (name: string, value: number): void => {
      sums[name] = (sums[name] ?? 0) + value;
    };
    const before = tf.tidy(() => ({
      old: offPolicy ? this.#logProbs(policy, collected, groups, parts) : undefined,
      reference: this.#reference ? this.#logProbs(this.#reference, collected, groups, parts) : undefined,
    })) as { old?: Tensor2D; reference?: Tensor2D };
    try {
      for (let iteration = 0; iteration < numIterations; iteration++) {
        if (parts > 1) random.shuffle(groups);
        for (let part = 0; part < parts; part++) {
          const share = partOf(groups, part, parts);
          tf.tidy(() => {
            const rows = <T extends tf.Tensor>(x: T): T =>
              (parts === 1 ? x : chosen(x, share, numGenerations)) as T;
            const tokens = rows(collected.tokens);
            const batch = policy.batch(share.map((group) => collected.examples[group]!));
            const given = {
              advantages: rows(collected.advantages),
              mask: rows(collected.mask),
              ...(before.old ? { oldLogProbs: rows(before.old) } : {}),
              ...(before.reference ? { refLogProbs: rows(before.reference) } : {}),
            };
            let seen: { logProbs: Tensor2D; entropies: Tensor2D } | undefined;
            const update = this.#learner.update(this.#step, () => {
              const { logProbs, entropies } = policy.logProbs(policy.encode(batch), tokens, temperature);
              seen = { logProbs: tf.keep(logProbs), entropies: tf.keep(entropies) };
              return grpoLoss({ ...given, logProbs, entropies }, loss) as Scalar;
            });
            add('loss', update.loss);
            add('gradient_norm', update.gradientNorm);
            add('learning_rate', update.learningRate);
            const diagnostics = grpoDiagnostics({ ...given, ...seen! }, loss);
            for (const [name, value] of Object.entries(diagnostics)) add(name, value);
            tf.dispose(Object.values(seen!));
          });
        }
      }
    } finally {
      tf.dispose(Object.values(before).filter((x) => x !== undefined));
    }
    const count = numIterations * parts;
    return Object.fromEntries(Object.entries(sums).map(([name, sum]) => [name, sum / count]));
  }

  /** `[N, L]`, without gradient, a part of the prompts at a time. */
  #logProbs(policy: Policy, collected: Collected, groups: readonly number[], parts: number): Tensor2D {
    const { numGenerations, temperature } = this.#options;
    const all = Array.from({ length: parts }, (_, part) => {
      const share = partOf(groups, part, parts);
      return tf.tidy(() => {
        const encoded = policy.encode(policy.batch(share.map((group) => collected.examples[group]!)));
        return policy.logProbs(encoded, chosen(collected.tokens, share, numGenerations), temperature)
          .logProbs;
      });
    });
    return all.length === 1 ? all[0]! : tf.concat2d(all, 0);
  }
}

interface Collected {
  examples: Example[];
  tokens: Tensor2D;
  mask: Tensor2D;
  advantages: Tensor1D;
  metrics: Record<string, number>;
  tokenCount: number;
  sampling: number;
  scoring: number;
}

const partOf = (groups: readonly number[], part: number, parts: number): number[] =>
  groups.slice(Math.floor((part * groups.length) / parts), Math.floor(((part + 1) * groups.length) / parts));

/** The rows of some groups. */
function chosen<T extends tf.Tensor>(x: T, groups: readonly number[], size: number): T {
  const rows = groups.flatMap((group) => Array.from({ length: size }, (_, i) => group * size + i));
  return tf.gather(x, tf.tensor1d(rows, 'int32')) as T;
}

/** What the rollouts of a step were like. */
class Statistics {
  readonly #size: number;
  readonly #rewards: number[] = [];
  readonly #byTask = new Map<string, number[]>();
  readonly #terms: Record<string, number[]> = {};
  readonly #deviations: number[] = [];
  #flat = 0;
  #ended = 0;
  #advantages = 0;
  tokens = 0;

  constructor(groupSize: number) {
    this.#size = groupSize;
  }

  /** @returns of each group whether its rewards differ */
  add(drawn: readonly Drawn[], rollout: ScoredRollout, end: number): boolean[] {
    const { rewards, terms } = rollout;
    const varied: boolean[] = [];
    drawn.forEach(({ task }, group) => {
      const own = [...rewards.subarray(group * this.#size, (group + 1) * this.#size)];
      varied.push(own.some((reward) => reward !== own[0]));
      this.#deviations.push(deviation(own, 1));
      const ofTask = this.#byTask.get(task.name) ?? [];
      ofTask.push(...own);
      this.#byTask.set(task.name, ofTask);
    });
    this.#flat += varied.filter((differs) => !differs).length;
    this.#rewards.push(...rewards);
    for (const [name, values] of Object.entries(terms)) {
      this.#terms[name] ??= [];
      this.#terms[name].push(...values.filter((value) => !Number.isNaN(value)));
    }
    const sums = tf.tidy(() =>
      tf.stack([
        tf.sum(rollout.mask),
        tf.sum(tf.cast(tf.equal(rollout.tokens, end), 'float32')),
        tf.mean(tf.square(rollout.advantages)),
      ]),
    );
    const [tokens, ended, advantages] = sums.dataSync() as unknown as [number, number, number];
    sums.dispose();
    this.tokens += tokens;
    this.#ended += ended;
    this.#advantages += advantages * rewards.length;
    return varied;
  }

  /** @param kept prompts that are trained on */
  metrics(kept: number): Record<string, number> {
    const completions = this.#rewards.length;
    const prompts = completions / this.#size;
    return {
      'reward/mean': mean(this.#rewards),
      'reward/std': deviation(this.#rewards, 0),
      ...(this.#byTask.size > 1
        ? Object.fromEntries([...this.#byTask].map(([name, own]) => [`reward/${name}`, mean(own)]))
        : {}),
      ...Object.fromEntries(Object.entries(this.#terms).map(([name, own]) => [`term/${name}`, mean(own)])),
      'group/reward_std': mean(this.#deviations),
      'group/zero_variance_share': this.#flat / prompts,
      'group/kept': kept,
      'advantage/std': Math.sqrt(this.#advantages / completions),
      'completion/length_mean': this.tokens / completions,
      'completion/ended_share': this.#ended / completions,
    };
  }
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

function deviation(values: readonly number[], ddof: 0 | 1): number {
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - ddof));
}
