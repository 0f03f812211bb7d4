import { statSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { PerceptionError } from '../errors.js';
import { type ChosenBackend, useBackend } from './backend.js';
import { createTasks, resolveConfig, type TrainConfig, type TrainOptions, within } from './config.js';
import { evaluatePolicy } from './evaluate.js';
import { loadWeights, storedWeights } from './learner.js';
import { type GrpoLossOptions, grpoLoss } from './loss.js';
import type { WeightedTask } from './mixture.js';
import { VisionPolicy } from './model/vision-policy.js';
import { type Checkpoint, readCheckpoint, writeCheckpoint } from './run/checkpoint.js';
import { RunFolder, type StepLine } from './run/folder.js';
import type { Sample } from './run/scene.js';
import { SupervisedTrainer } from './supervised.js';
import type { Task } from './tasks/index.js';
import { GrpoTrainer } from './trainer.js';

/** Is told how a training goes. */
export interface TrainObserver {
  /** All is checked, and the training begins, or goes on after `done` steps. */
  started?(run: { path: string; config: TrainConfig; backend: ChosenBackend; done: number }): void;
  /** A step was logged; step 0 is the evaluation before training. */
  step?(line: StepLine): void;
  note?(message: string): void;
}

export interface TrainRunOptions extends TrainObserver {
  /** Ends the training after the step under way, whose state is saved. */
  signal?: AbortSignal;
  /** In the end, unless the training was interrupted, the weights are written here, alone and as halves. */
  export?: string;
}

export interface TrainResult {
  /** The run's folder, absolute. */
  path: string;
  /** The report's path. */
  report: string;
  /** Steps done. */
  steps: number;
  /** Why the training ended: all steps are done, maxMinutes have passed, or the signal was given. */
  stopped: 'done' | 'time' | 'signal';
  /** The first and the last evaluation, with the steps they were made after; none where nothing was evaluated. */
  before?: Evaluated;
  after?: Evaluated;
}

export interface Evaluated {
  step: number;
  /** By name, as 'eval/ap', 'eval_t1/reward', or with several tasks 'eval/detection/ap'. */
  metrics: Record<string, number>;
}

/**
 * Trains a {@link VisionPolicy} on the built-in tasks, and keeps all of it in a run's folder: docs/runs.md. It evaluates
 * before, now and then, and in the end; every step is logged, and its state saved before the next one.
 * @param path of the folder to be made
 * @throws PerceptionError INVALID_ARGUMENT, INVALID_RECIPE (before anything is written); INVALID_INPUT (a checkpoint that does
 *   not fit, missing handwriting); NATIVE_UNAVAILABLE (no backend); DIVERGED, after the last good state was saved
 * @example await train({ stage: 'grpo', from: 'runs/warm', steps: 200 }, 'runs/first', { step: console.log });
 */
export async function train(
  options: TrainOptions | undefined,
  path: string,
  run: TrainRunOptions = {},
): Promise<TrainResult> {
  const began = performance.now();
  const start = options?.from === undefined ? undefined : startOf(options.from);
  const backend = await useBackend(options?.backend);
  const size = start?.metadata.size;
  const config = resolveConfig(
    {
      ...(size !== undefined && { size: JSON.parse(size) as NonNullable<TrainOptions['size']> }),
      ...options,
    },
    backend.name,
  );
  const training = prepare(config, start, run.signal);
  try {
    const folder = RunFolder.create(path, config);
    run.started?.({ path: folder.path, config, backend, done: 0 });
    return await execute(training, { folder, saved: undefined, began, run });
  } finally {
    training.dispose();
  }
}

/**
 * Goes on with a run that was interrupted, from its newest checkpoint; its later steps are dropped from the log. On the cpu
 * backend it then does what it would have done without the interruption, to the last bit.
 * @param path of the run's folder
 * @throws PerceptionError as {@link train}
 */
export async function resumeTraining(path: string, run: TrainRunOptions = {}): Promise<TrainResult> {
  const began = performance.now();
  const folder = RunFolder.open(path);
  const stored = folder.config as TrainConfig;
  const backend = await useBackend(stored.backend);
  const config = within(`${path}/config.json`, () => resolveConfig(stored, backend.name));
  const checkpoint = folder.latest(run.note);
  const start = checkpoint || config.from === undefined ? undefined : startOf(config.from);
  const training = prepare(config, start, run.signal);
  try {
    if (checkpoint) training.trainer.restore(checkpoint);
    folder.rewind(checkpoint?.step ?? 0);
    run.started?.({ path: folder.path, config, backend, done: checkpoint?.step ?? 0 });
    return await execute(training, { folder, saved: checkpoint?.step, began, run });
  } finally {
    training.dispose();
  }
}

/** The weights to begin with: of a checkpoint, or of the newest one of a run. */
function startOf(path: string): Checkpoint {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return readCheckpoint(path);
  const checkpoint = RunFolder.open(path).latest();
  if (checkpoint) return checkpoint;
  throw new PerceptionError(
    'INVALID_INPUT',
    `${path}: expected a run with a checkpoint, received one without`,
  );
}

/** Pictures of an evaluation that are kept. */
const pictures = 8;

interface Training {
  config: TrainConfig;
  tasks: readonly Task[];
  policy: VisionPolicy;
  trainer: SupervisedTrainer | GrpoTrainer;
  dispose(): void;
}

/** Makes all that is trained and trains; whatever is wrong with the settings is found here, before a file is written. */
function prepare(
  config: TrainConfig,
  start: Checkpoint | undefined,
  signal: AbortSignal | undefined,
): Training {
  const weighted = createTasks(config.tasks);
  const tasks = weighted.map(({ task }) => task);
  const { height, width } = tasks[0]!;
  tasks[0]!.example('train', 0, 0); // finds out whether the handwriting is there
  if (config.stage === 'grpo') within('loss', () => tryLoss(config.loss));
  const policy = new VisionPolicy({ size: config.size, height, width, seed: config.seed });
  try {
    if (start) loadWeights('policy', policy, start.tensors);
    const trainer = trainerOf(config, policy, weighted, signal);
    const dispose = (): void => {
      trainer.dispose();
      policy.dispose();
    };
    return { config, tasks, policy, trainer, dispose };
  } catch (error) {
    policy.dispose();
    throw error;
  }
}

function trainerOf(
  config: TrainConfig,
  policy: VisionPolicy,
  tasks: WeightedTask[],
  signal: AbortSignal | undefined,
): SupervisedTrainer | GrpoTrainer {
  const { seed, steps } = config;
  const optimizer = { ...config.optimizer, totalSteps: steps };
  const shared = { policy, tasks, seed, steps, optimizer, ...(signal && { signal }) };
  if (config.stage === 'sft') {
    const { batchSize, denseWeight } = config;
    return new SupervisedTrainer({ ...shared, batchSize, denseWeight });
  }
  const { stage, preset, backend, size, from, evaluation, saveEvery, keepEvery, maxMinutes, ...options } =
    config;
  return new GrpoTrainer({ ...options, ...shared });
}

/** grpoLoss checks its options when it is called: on one token, so that it does not take a step to find out. */
function tryLoss(options: GrpoLossOptions): void {
  const one = [[0]];
  const inputs = {
    logProbs: one,
    oldLogProbs: one,
    refLogProbs: one,
    entropies: one,
    advantages: [0],
    mask: [[1]],
  };
  tf.dispose(grpoLoss(inputs, options));
}

interface Execution {
  folder: RunFolder;
  /** The step of the newest checkpoint; none before there is one. */
  saved: number | undefined;
  /** When it was started, on the clock of `performance`. */
  began: number;
  run: TrainRunOptions;
}

/** The training itself, and all that is kept of it. */
async function execute(training: Training, { folder, began, run, ...from }: Execution): Promise<TrainResult> {
  const { config, policy, trainer } = training;
  const { evaluation, saveEvery, keepEvery, maxMinutes = Number.POSITIVE_INFINITY } = config;
  const metadata = { size: JSON.stringify(config.size) };
  let { saved } = from;
  let step = saved ?? 0;
  let logged = saved;
  let saving = 0; // seconds since the last line of the log
  let evaluating = 0; // seconds that an evaluation takes

  const save = (): void => {
    const at = performance.now();
    folder.save({ ...trainer.state(), metadata }, { keep: keepEvery > 0 && step % keepEvery === 0 });
    saved = step;
    saving += secondsSince(at);
  };
  const evaluate = (): Pick<StepLine, 'metrics' | 'timing'> => {
    const at = performance.now();
    const { metrics, samples } = evaluateTasks(training);
    folder.saveSamples(step, step === 0 ? 'before' : 'after', samples);
    evaluating = secondsSince(at);
    return { metrics, timing: { 'time/evaluate': evaluating } };
  };
  const log = (line: Pick<StepLine, 'metrics' | 'timing' | 'notes'>): void => {
    const whole = { ...line, step, timing: { ...line.timing, ...(saving > 0 && { 'time/save': saving }) } };
    saving = 0;
    folder.log(whole);
    logged = step;
    run.step?.(whole);
  };

  let stopped: TrainResult['stopped'] = 'done';
  try {
    if (saved === undefined) {
      // A process that was killed may have come so far.
      if (evaluation.examples > 0 && folder.lines().length === 0) log(evaluate());
      logged = 0;
      save();
    }
    let ended = performance.now();
    for await (const { metrics, timing, step: done } of trainer) {
      step = done;
      const complete = step === config.steps;
      // Whether another step, with the evaluation after it, would take too long.
      const late = secondsSince(began) + secondsSince(ended) + evaluating > 60 * maxMinutes;
      const due = complete || late || (evaluation.every > 0 && step % evaluation.every === 0);
      const evaluated = due && evaluation.examples > 0 ? evaluate() : undefined;
      log({ metrics: { ...metrics, ...evaluated?.metrics }, timing: { ...timing, ...evaluated?.timing } });
      if (step % saveEvery === 0) save();
      if (evaluated) folder.writeReport(); // for those who look at a run that goes on
      if (late && !complete) {
        stopped = 'time';
        break;
      }
      ended = performance.now();
    }
    if (step < config.steps && stopped === 'done') stopped = 'signal';
    if (saved !== step) save();
    if (run.export !== undefined && stopped !== 'signal') {
      const tensors = storedWeights('policy', policy);
      writeCheckpoint(run.export, { step, metadata, tensors }, { floats: 'F16' });
    }
  } catch (error) {
    const { message } = error as Error;
    try {
      if (saved !== step && logged === step) save(); // never ahead of the log
      log({ metrics: {}, timing: {}, notes: [message] });
      folder.writeReport();
    } catch (second) {
      run.note?.(`What was done could not be saved: ${(second as Error).message}`);
    }
    if (!(error instanceof PerceptionError && error.code === 'DIVERGED')) throw error;
    const kept = `The state after step ${saved} and the report are in ${folder.path}`;
    throw new PerceptionError('DIVERGED', `${message}. ${kept}`, { cause: error });
  }
  const evaluations = folder.lines().flatMap((line): Evaluated[] => {
    const metrics = Object.entries(line.metrics).filter(([name]) => /^eval(_t[\d.]+)?\//.test(name));
    return metrics.length > 0 ? [{ step: line.step, metrics: Object.fromEntries(metrics) }] : [];
  });
  const [before, after] = [evaluations[0], evaluations.at(-1)];
  return {
    path: folder.path,
    report: folder.writeReport(),
    steps: step,
    stopped,
    ...(before && after && { before, after }),
  };
}

const secondsSince = (at: number): number => (performance.now() - at) / 1000;

/** Evaluates each task at each temperature; pictures are of the answers at the first one. */
function evaluateTasks({ config, policy, tasks }: Training): {
  metrics: Record<string, number>;
  samples: Sample[];
} {
  const { examples, seed, temperatures } = config.evaluation;
  const all: Record<string, number> = {};
  const samples: Sample[] = [];
  temperatures.forEach((temperature, i) => {
    const prefix = temperature === 0 ? 'eval' : `eval_t${temperature}`;
    for (const task of tasks) {
      const { metrics, answers } = evaluatePolicy(policy, task, { examples, seed, temperature });
      const name = tasks.length > 1 ? `${prefix}/${task.name}` : prefix;
      for (const [metric, value] of Object.entries(metrics)) all[`${name}/${metric}`] = value;
      if (i > 0) continue;
      const { height, width } = task;
      for (const answer of answers.slice(0, Math.ceil(pictures / tasks.length))) {
        const { example, predictions, matches, ...scored } = answer;
        const { image, prompt, objects: truth } = example;
        // A reward may match points, which are no boxes to be drawn.
        const drawn = matches.map((match) => (match < predictions.length ? match : -1));
        samples.push({ ...scored, image, height, width, prompt, truth, predictions, matches: drawn });
      }
    }
  });
  return { metrics: all, samples };
}
