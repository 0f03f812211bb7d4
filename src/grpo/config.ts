import { invalid, PerceptionError } from '../errors.js';
import { type AdvantageFormula, formulaOptions, nativeFormula } from '../ops/advantages.js';
import { editDistance } from '../ops/text.js';
import { aboveZero, atLeastZero, choice, finiteNumber, optionsObject, wholeNumber } from '../ops/validate.js';
import { compileRecipe, type RecipeInput, type RecipeName, recipes } from '../rewards/recipes.js';
import { type BackendName, backends } from './backend.js';
import { grpoDefaults, type Stage, stages, supervisedDefaults } from './defaults.js';
import { type GrpoLossOptions, grpoPresets } from './loss.js';
import { type VisionSize, type VisionSizeName, visionSizes } from './model/vision-policy.js';
import { learningRateSchedule } from './optimizer.js';
import type { ScoringRoute } from './rollouts.js';
import { createTask, type Task, type TaskName, type TaskOptions } from './tasks/index.js';

/** A task of a training. */
export interface TaskConfig extends TaskOptions {
  name: TaskName;
  /** How often it is drawn beside others. */
  weight: number;
}

/** The learning rate ends its decay at the last step. */
export interface OptimizerConfig {
  learningRate: number;
  warmupSteps: number;
  decay: 'constant' | 'linear' | 'cosine';
  /** Share of the learning rate that is left at the end of a decay. */
  finalFraction: number;
  /** Gradients with a larger norm are scaled down to it. */
  maxGradNorm: number;
  weightDecay: number;
}

export interface EvaluationConfig {
  /** Steps between two evaluations; 0 = only before the first step and after the last one. */
  every: number;
  /** Held-out examples of each task; 0 = no evaluation at all. */
  examples: number;
  seed: number;
  /** An evaluation at each: 0 takes the likeliest tokens, 1 draws as training does. */
  temperatures: number[];
}

/** Settings of both stages. */
export interface CommonConfig {
  tasks: TaskConfig[];
  /** Of first weights, examples, completions and minibatches. */
  seed: number;
  backend: BackendName;
  size: VisionSizeName | VisionSize;
  /** A checkpoint, or the folder of a run, whose weights to begin with. */
  from?: string;
  /** Steps in all. */
  steps: number;
  optimizer: OptimizerConfig;
  evaluation: EvaluationConfig;
  /** Steps between two checkpoints; the newest two are kept. */
  saveEvery: number;
  /** Checkpoints of every so many steps are kept for good; 0 = none. */
  keepEvery: number;
  /** Ends the training, after a last evaluation, so that about this time has passed since it was started or resumed. */
  maxMinutes?: number;
}

/** Settings of supervised training. */
export interface SupervisedConfig extends CommonConfig {
  stage: 'sft';
  batchSize: number;
  /** Weight of the loss on what each patch of the image shows. */
  denseWeight: number;
}

/** Settings of reinforcement learning; see {@link GrpoOptions}. */
export interface GrpoConfig extends CommonConfig {
  stage: 'grpo';
  /** Takes the place of the task's own recipe; evaluations keep the task's. */
  recipe?: RecipeInput;
  preset?: keyof typeof grpoPresets;
  promptsPerStep: number;
  numGenerations: number;
  temperature: number;
  topK?: number;
  topP?: number;
  maxCompletionLength?: number;
  route: ScoringRoute;
  loss: GrpoLossOptions;
  advantages: AdvantageFormula;
  numIterations: number;
  miniBatches: number;
  zeroVariance: 'keep' | 'drop' | 'resample';
  maxResamples: number;
  syncReferenceEvery: number;
}

/** All settings of a training: what a run keeps as its configuration. */
export type TrainConfig = SupervisedConfig | GrpoConfig;

type Settings = Omit<SupervisedConfig, 'stage'> & Omit<GrpoConfig, 'stage'>;

/** Settings of a training; what is left out has a default that depends on the stage and the backend. docs/grpo.md lists them. */
export interface TrainOptions
  extends Partial<Omit<Settings, 'tasks' | 'backend' | 'recipe' | 'optimizer' | 'evaluation'>> {
  /** Default 'grpo'. */
  stage?: Stage;
  tasks?: (TaskName | (Partial<TaskConfig> & Pick<TaskConfig, 'name'>))[];
  /** Default 'auto': the fastest one that is installed. */
  backend?: BackendName | 'auto';
  /** What it does not say of labels and coordinates is as in the task's own. */
  recipe?: RecipeName | RecipeInput;
  optimizer?: Partial<OptimizerConfig>;
  evaluation?: Partial<EvaluationConfig>;
}

const commonNames = [
  'stage',
  'tasks',
  'seed',
  'backend',
  'size',
  'from',
  'steps',
  'optimizer',
  'evaluation',
  'saveEvery',
  'keepEvery',
  'maxMinutes',
] as const satisfies readonly (keyof TrainOptions)[];
const ofStage = {
  sft: ['batchSize', 'denseWeight'],
  grpo: [
    'recipe',
    'preset',
    'promptsPerStep',
    'numGenerations',
    'temperature',
    'topK',
    'topP',
    'maxCompletionLength',
    'route',
    'loss',
    'advantages',
    'numIterations',
    'miniBatches',
    'zeroVariance',
    'maxResamples',
    'syncReferenceEvery',
  ],
} as const satisfies Record<Stage, readonly (keyof TrainOptions)[]>;
const optimizerNames = [
  'learningRate',
  'warmupSteps',
  'decay',
  'finalFraction',
  'maxGradNorm',
  'weightDecay',
] as const satisfies readonly (keyof OptimizerConfig)[];
const evaluationNames = [
  'every',
  'examples',
  'seed',
  'temperatures',
] as const satisfies readonly (keyof EvaluationConfig)[];
const sizeNames = ['width', 'heads', 'headWidth', 'encoderLayers', 'decoderLayers'] as const;

/**
 * Checks settings and completes them with defaults. What it returns it would return again.
 * @param backend the one in use
 * @throws PerceptionError INVALID_ARGUMENT, INVALID_RECIPE
 */
export function resolveConfig(options: TrainOptions | undefined, backend: BackendName): TrainConfig {
  const stage = stages[choice(options?.stage, 'grpo', stages, 'stage')]!;
  const other = stage === 'sft' ? 'grpo' : 'sft';
  const given = checkedObject(
    options === undefined ? {} : options,
    '',
    [...commonNames, ...ofStage[stage]],
    (name) =>
      (ofStage[other] as readonly string[]).includes(name)
        ? `a setting of the stage '${other}', and this one is '${stage}'`
        : undefined,
  ) as TrainOptions;
  if (given.backend !== undefined) choice(given.backend, 'auto', ['auto', ...backends], 'backend');
  return stage === 'sft' ? supervised(given, backend) : grpo(given, backend);
}

function supervised(given: TrainOptions, backend: BackendName): SupervisedConfig {
  const defaults = supervisedDefaults(backend);
  return {
    stage: 'sft',
    ...common(given, defaults, backend),
    batchSize: wholeNumber(given.batchSize ?? defaults.batchSize, 'batchSize', 1),
    denseWeight: atLeastZero(given.denseWeight ?? defaults.denseWeight, 'denseWeight'),
  };
}

function grpo(given: TrainOptions, backend: BackendName): GrpoConfig {
  const defaults = grpoDefaults(backend);
  const settings = common(given, defaults, backend);
  const presets = Object.keys(grpoPresets) as (keyof typeof grpoPresets)[];
  const { preset, temperature = defaults.temperature } = given;
  const from =
    preset === undefined ? undefined : grpoPresets[presets[choice(preset, preset, presets, 'preset')]!];
  if (!(finiteNumber(temperature, 'temperature') > 0)) {
    throw invalid('INVALID_ARGUMENT', 'temperature', 'a number above 0: a group must differ', temperature);
  }
  const promptsPerStep = wholeNumber(given.promptsPerStep ?? defaults.promptsPerStep, 'promptsPerStep', 1);
  const whole = (
    name: 'numIterations' | 'maxResamples' | 'syncReferenceEvery',
    low: number,
    fallback = defaults[name],
  ): number => wholeNumber(given[name] ?? fallback, name, low);
  const advantages = {
    ...defaults.advantages,
    ...from?.advantages,
    ...checkedObject(given.advantages ?? {}, 'advantages.', formulaOptions),
  };
  within('advantages', () => nativeFormula(advantages));
  const { recipe, route = defaults.route } = given;
  if (
    choice(route, 'text', ['text', 'tensor'], 'route') === 1 &&
    settings.tasks.some(({ name }) => name === 'ocr')
  ) {
    throw invalid('INVALID_ARGUMENT', 'route', "'text' for the task ocr, whose answers are no boxes", route);
  }
  const zeroVariance = given.zeroVariance ?? defaults.zeroVariance;
  choice(zeroVariance, 'keep', ['keep', 'drop', 'resample'], 'zeroVariance');
  return {
    stage: 'grpo',
    ...settings,
    ...(recipe !== undefined && { recipe: recipeFor(settings.tasks, recipe) }),
    ...(preset !== undefined && { preset }),
    promptsPerStep,
    numGenerations: wholeNumber(given.numGenerations ?? defaults.numGenerations, 'numGenerations', 2),
    temperature,
    ...(given.topK !== undefined && { topK: wholeNumber(given.topK, 'topK', 1) }),
    ...(given.topP !== undefined && { topP: shareOf(given.topP, 'topP') }),
    ...(given.maxCompletionLength !== undefined && {
      maxCompletionLength: wholeNumber(given.maxCompletionLength, 'maxCompletionLength', 1),
    }),
    route,
    // grpoLoss checks its options itself.
    loss: { ...defaults.loss, ...from?.loss, ...plainObject(given.loss ?? {}, 'loss') },
    advantages,
    numIterations: whole('numIterations', 1, from?.numIterations),
    miniBatches: wholeNumber(given.miniBatches ?? defaults.miniBatches, 'miniBatches', 1, promptsPerStep),
    zeroVariance,
    maxResamples: whole('maxResamples', 0),
    syncReferenceEvery: whole('syncReferenceEvery', 0),
  };
}

type Defaults = ReturnType<typeof supervisedDefaults> | ReturnType<typeof grpoDefaults>;

function common(given: TrainOptions, defaults: Defaults, backend: BackendName): CommonConfig {
  const whole = (name: 'seed' | 'steps' | 'saveEvery' | 'keepEvery', low: number): number =>
    wholeNumber(given[name] ?? defaults[name], name, low);
  const steps = whole('steps', 0);
  return {
    tasks: tasksOf(given.tasks ?? defaults.tasks),
    seed: whole('seed', 0),
    backend,
    size: sizeOf(given.size ?? defaults.size),
    ...(given.from !== undefined && { from: textOf(given.from, 'from') }),
    steps,
    optimizer: optimizerOf(given.optimizer, defaults.optimizer, steps),
    evaluation: evaluationOf(given.evaluation, defaults.evaluation),
    saveEvery: whole('saveEvery', 1),
    keepEvery: whole('keepEvery', 0),
    ...(given.maxMinutes !== undefined && { maxMinutes: aboveZero(given.maxMinutes, 'maxMinutes') }),
  };
}

function tasksOf(given: TrainOptions['tasks']): TaskConfig[] {
  if (!Array.isArray(given) || given.length === 0) {
    throw invalid('INVALID_ARGUMENT', 'tasks', 'an array of at least one task', given);
  }
  const tasks = given.map((entry, i): TaskConfig => {
    const at = `tasks[${i}]`;
    const {
      name,
      weight = 1,
      ...options
    } = checkedObject(typeof entry === 'string' ? { name: entry } : entry, `${at}.`, [
      'name',
      'weight',
      'think',
      'order',
      'maxObjects',
    ]) as TaskConfig;
    const task = { name, weight: aboveZero(weight, `${at}.weight`), ...options };
    within(at, () => createTask(name, options));
    return task;
  });
  tasks.forEach(({ name }, i) => {
    if (tasks.findIndex((task) => task.name === name) < i) {
      throw invalid('INVALID_ARGUMENT', `tasks[${i}]`, 'each task once', name);
    }
  });
  return tasks;
}

/** The tasks of a training, by their settings. */
export function createTasks(configs: readonly TaskConfig[]): { task: Task; weight: number }[] {
  return configs.map(({ name, weight, ...options }) => ({ task: createTask(name, options), weight }));
}

function sizeOf(size: VisionSizeName | VisionSize): VisionSizeName | VisionSize {
  if (typeof size === 'string') {
    const names = Object.keys(visionSizes) as VisionSizeName[];
    return names[choice(size, size, names, 'size')]!;
  }
  checkedObject(size, 'size.', sizeNames);
  for (const name of sizeNames) wholeNumber(size[name], `size.${name}`, 1, 4096);
  if (size.width % 4 === 0) return size;
  throw invalid('INVALID_ARGUMENT', 'size.width', 'a multiple of 4', size.width);
}

function optimizerOf(
  given: Partial<OptimizerConfig> | undefined,
  defaults: OptimizerConfig,
  steps: number,
): OptimizerConfig {
  const warmupSteps = Math.min(defaults.warmupSteps, steps);
  const optimizer = { ...defaults, warmupSteps, ...checkedObject(given ?? {}, 'optimizer.', optimizerNames) };
  const { maxGradNorm, weightDecay, ...schedule } = optimizer;
  aboveZero(maxGradNorm, 'optimizer.maxGradNorm');
  atLeastZero(weightDecay, 'optimizer.weightDecay');
  if (
    wholeNumber(schedule.warmupSteps, 'optimizer.warmupSteps', 0) > steps &&
    schedule.decay !== 'constant'
  ) {
    throw invalid(
      'INVALID_ARGUMENT',
      'optimizer.warmupSteps',
      `at most ${steps}, the steps`,
      schedule.warmupSteps,
    );
  }
  within('optimizer', () => learningRateSchedule({ ...schedule, totalSteps: steps }));
  return optimizer;
}

function evaluationOf(
  given: Partial<EvaluationConfig> | undefined,
  defaults: EvaluationConfig,
): EvaluationConfig {
  const evaluation = { ...defaults, ...checkedObject(given ?? {}, 'evaluation.', evaluationNames) };
  for (const name of ['every', 'examples', 'seed'] as const) {
    wholeNumber(evaluation[name], `evaluation.${name}`, 0);
  }
  const { temperatures } = evaluation;
  if (
    !Array.isArray(temperatures) ||
    temperatures.length === 0 ||
    new Set(temperatures).size < temperatures.length
  ) {
    throw invalid(
      'INVALID_ARGUMENT',
      'evaluation.temperatures',
      'an array of different numbers',
      temperatures,
    );
  }
  temperatures.forEach((temperature, i) => {
    atLeastZero(temperature, `evaluation.temperatures[${i}]`);
  });
  return evaluation;
}

/** A recipe for the one task, with the labels and coordinates of the task's own. */
function recipeFor(tasks: readonly TaskConfig[], given: RecipeName | RecipeInput): RecipeInput {
  if (tasks.length > 1) {
    const names = tasks.map(({ name }) => name).join(', ');
    throw invalid('INVALID_ARGUMENT', 'recipe', 'none where there are several tasks', names);
  }
  const { task } = createTasks(tasks)[0]!;
  const { vocabulary, coordinates } = typeof task.recipe === 'string' ? recipes[task.recipe] : task.recipe;
  const recipe: RecipeInput = {
    ...(vocabulary !== undefined && { vocabulary }),
    ...(coordinates !== undefined && { coordinates }),
    ...(typeof given === 'string' ? { extends: given } : given),
  };
  const { task: kind } = compileRecipe(recipe);
  if (kind === task.name) return recipe;
  throw new PerceptionError(
    'INVALID_RECIPE',
    `recipe: expected one for ${task.name}, the task, received one for ${kind}`,
  );
}

function plainObject<T extends object>(value: T, name: string): T {
  optionsObject(value, name, Object.keys(value ?? {}) as (keyof T & string)[]);
  return value;
}

/** An object without unknown members; a misspelt one is told the nearest known name. */
function checkedObject<T extends object>(
  value: T,
  prefix: string,
  known: readonly string[],
  reason: (name: string) => string | undefined = () => undefined,
): T {
  plainObject(value, prefix.slice(0, -1) || 'the settings');
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const nearest = known.reduce((best, one) =>
      editDistance(name, one) < editDistance(name, best) ? one : best,
    );
    const why =
      reason(name) ??
      (editDistance(name, nearest) * 2 <= name.length
        ? `unknown; did you mean ${nearest}?`
        : `unknown; known are ${known.join(', ')}`);
    throw new PerceptionError('INVALID_ARGUMENT', `${prefix}${name}: ${why}`);
  }
  return value;
}

/** Says in what a mistake was made, where the message would not. */
export function within<T>(name: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof PerceptionError)) throw error;
    throw new PerceptionError(error.code, `${name}: ${error.message}`, { cause: error });
  }
}

function shareOf(value: unknown, name: string): number {
  if (aboveZero(value, name) <= 1) return value as number;
  throw invalid('INVALID_ARGUMENT', name, 'a number above 0 and at most 1', value);
}

function textOf(value: unknown, name: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw invalid('INVALID_ARGUMENT', name, 'a path', value);
}
