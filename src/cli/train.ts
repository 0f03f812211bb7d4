import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { PerceptionError } from '../errors.js';
import { grpoDefaults, supervisedDefaults } from '../grpo/defaults.js';
import type { TaskName, TrainConfig, TrainOptions, TrainResult, TrainRunOptions } from '../grpo/index.js';
import { recipes } from '../rewards/recipes.js';
import { onInterruption, signals } from './interruption.js';
import { recipeOption } from './rollouts.js';
import { formatTable } from './table.js';
import { withTensorflow } from './tensorflow.js';
import { UsageError } from './usage.js';

// TensorFlow.js is optional, and the other commands do without it: all of src/grpo but the defaults is loaded when needed.
type Grpo = typeof import('../grpo/index.js');

/** What commander makes of the options; names that `places` lists are settings. */
interface Values extends Record<string, unknown> {
  task?: { name: TaskName; weight?: number }[];
  think?: boolean;
  order?: 'random' | 'raster';
  maxObjects?: number;
  recipe?: string;
  config?: string;
  output?: string;
  resume?: string;
  export?: string;
  quiet?: boolean;
  json?: boolean;
}

type Place = `${'optimizer' | 'evaluation' | 'loss'}.${string}` | keyof TrainOptions;

const number = (text: string): number => {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (Number.isFinite(value)) return value;
  throw new InvalidArgumentError('Expected a number.');
};

function taskList(text: string, before: Values['task'] = []): NonNullable<Values['task']> {
  const tasks = text.split(',').map((part) => {
    const [name, weight] = part.split('=') as [TaskName, string?];
    return { name, ...(weight !== undefined && { weight: number(weight) }) };
  });
  return [...before, ...tasks];
}

/** An option for a setting, and where the setting is; its range is checked with all the others. */
type Setting = readonly [
  flags: string,
  place: Place,
  text: string,
  kind?: { choices?: readonly string[]; fallback?: string },
];

const what: readonly Setting[] = [
  [
    '--stage <name>',
    'stage',
    'sft: supervised, on targets; grpo: from rewards',
    { choices: ['sft', 'grpo'], fallback: 'grpo' },
  ],
  [
    '--from <path>',
    'from',
    'begin with the weights of a checkpoint or of the newest one of a run',
    { fallback: 'random weights' },
  ],
  [
    '--size <name>',
    'size',
    "of the policy; with --from the checkpoint's",
    { choices: ['tiny', 'small', 'base'] },
  ],
  [
    '--backend <name>',
    'backend',
    'of TensorFlow.js',
    { choices: ['auto', 'tensorflow', 'wasm', 'cpu'], fallback: 'auto, the fastest that is installed' },
  ],
  ['--seed <n>', 'seed', 'of first weights, examples and completions'],
  ['--steps <n>', 'steps', 'updates in all'],
  [
    '--max-minutes <x>',
    'maxMinutes',
    'end earlier, with an evaluation, so that it takes about this long',
    { fallback: 'no limit' },
  ],
];

const reinforcement: readonly Setting[] = [
  [
    '--preset <name>',
    'preset',
    'settings of a paper: loss, advantages and passes',
    { choices: ['perception-r1'], fallback: 'none' },
  ],
  ['--prompts-per-step <n>', 'promptsPerStep', 'prompts per step'],
  ['--num-generations <n>', 'numGenerations', 'G, completions per prompt'],
  ['--temperature <x>', 'temperature', 'of sampling'],
  ['--top-k <n>', 'topK', 'draw from the k likeliest tokens', { fallback: 'all' }],
  ['--top-p <x>', 'topP', 'draw from the likeliest tokens that hold this share', { fallback: '1' }],
  ['--max-completion-length <n>', 'maxCompletionLength', 'tokens', { fallback: 'the longest target' }],
  [
    '--route <name>',
    'route',
    'score completions as text, or boxes as tensors',
    { choices: ['text', 'tensor'] },
  ],
  [
    '--loss-type <name>',
    'loss.lossType',
    'grpo, bnpo, dr_grpo, dapo, cispo, sapo, vespo or luspo',
    { fallback: 'dapo' },
  ],
  ['--epsilon-low <x>', 'loss.epsilonLow', 'clip ratios below 1 - x', { fallback: '0.2' }],
  ['--epsilon-high <x>', 'loss.epsilonHigh', 'clip ratios above 1 + x', { fallback: 'as --epsilon-low' }],
  ['--beta <x>', 'loss.beta', 'weight of the divergence from the reference policy', { fallback: '0' }],
  [
    '--sync-reference-every <n>',
    'syncReferenceEvery',
    'steps after which the reference takes the weights; 0 is never',
  ],
  ['--num-iterations <n>', 'numIterations', 'passes over the completions of a step'],
  ['--mini-batches <n>', 'miniBatches', 'updates per pass'],
  [
    '--zero-variance <how>',
    'zeroVariance',
    'groups whose rewards are all equal',
    { choices: ['keep', 'drop', 'resample'] },
  ],
  ['--max-resamples <n>', 'maxResamples', 'further batches of prompts for --zero-variance resample'],
];

const supervised: readonly Setting[] = [
  ['--batch-size <n>', 'batchSize', 'examples per step'],
  ['--dense-weight <x>', 'denseWeight', 'weight of the loss on what each patch of the image shows'],
];

const optimizer: readonly Setting[] = [
  ['--learning-rate <x>', 'optimizer.learningRate', 'of AdamW'],
  ['--warmup-steps <n>', 'optimizer.warmupSteps', 'steps over which the learning rate rises'],
  [
    '--decay <how>',
    'optimizer.decay',
    'how it falls until the last step',
    { choices: ['constant', 'linear', 'cosine'] },
  ],
  ['--final-fraction <x>', 'optimizer.finalFraction', 'share of it that is left then'],
  ['--max-grad-norm <x>', 'optimizer.maxGradNorm', 'scale larger gradients down to this norm'],
  ['--weight-decay <x>', 'optimizer.weightDecay', 'of matrices'],
];

const measuring: readonly Setting[] = [
  ['--eval-every <n>', 'evaluation.every', 'steps between two evaluations; 0: only before and after'],
  ['--eval-examples <n>', 'evaluation.examples', 'held-out examples of each task; 0: none'],
  ['--save-every <n>', 'saveEvery', 'steps between two checkpoints, of which the newest two stay'],
  ['--keep-every <n>', 'keepEvery', 'keep the checkpoints of every n steps for good; 0: none'],
];

/** Where the settings go, by the names of the options. */
const places = new Map<string, Place>();

function optionOf([flags, place, text, { choices: names, fallback } = {}]: Setting): Option {
  const option = new Option(flags, `${text} (default: ${fallback ?? describeDefault(place)})`);
  if (names) option.choices(names);
  else if (/<[nx]>/.test(flags)) option.argParser(number);
  places.set(option.attributeName(), place);
  return option;
}

/** The default of a setting in all stages and on all backends, as far as they differ. */
function describeDefault(place: Place): string {
  const of = (defaults: object): string => {
    const value = place
      .split('.')
      .reduce<unknown>((at, name) => (at as Record<string, unknown>)?.[name], defaults);
    return value === undefined ? '' : String(value);
  };
  const [sft, grpo] = [supervisedDefaults, grpoDefaults].map((defaults) => {
    const [fast, slow] = [of(defaults('tensorflow')), of(defaults('wasm'))];
    return fast === slow ? fast : `${fast} on tensorflow, else ${slow}`;
  }) as [string, string];
  if (sft === grpo || grpo === '') return sft;
  return sft === '' ? grpo : `sft ${sft}; grpo ${grpo}`;
}

/** Adds the command to `program`; `finish` is given the exit code. */
export function defineTrain(program: Command, finish: (exitCode: number) => void): void {
  const command = program
    .command('train')
    .description('Train a small policy to see: supervised, then by GRPO on the rewards of Perception-R1.');
  const group = (heading: string, ...options: Option[]): void => {
    command.optionsGroup(heading);
    for (const option of options) command.addOption(option);
  };
  group(
    'What is trained:',
    new Option(
      '--task <name>',
      'grounding, counting, detection or ocr; several as a list or one by one, with weights: detection=2,ocr (default: detection)',
    ).argParser(taskList),
    new Option('--think', 'ask for the objects in <think> first (default: no)'),
    new Option('--order <name>', 'of objects in targets (default: random)').choices(['random', 'raster']),
    new Option('--max-objects <n>', 'most objects of a scene (default: 5, of ocr 6)').argParser(number),
    ...what.map(optionOf),
  );
  group(
    'Reinforcement learning (--stage grpo):',
    new Option('--recipe <name|file>', "a preset, or a JSON file with a recipe (default: the task's)"),
    ...reinforcement.map(optionOf),
  );
  group('Supervised training (--stage sft):', ...supervised.map(optionOf));
  group('Optimiser:', ...optimizer.map(optionOf));
  group(
    'The run:',
    new Option('--config <file>', 'settings as JSON, or the config.json of a run; options win over it'),
    new Option('--output <folder>', 'a new folder for the run (default: runs/<stage>-<task>-<time>)'),
    new Option('--resume <folder>', 'go on with a run that was interrupted, with its own settings'),
    new Option('--export <file>', 'in the end write the weights alone, as halves, for --from'),
    ...measuring.map(optionOf),
    new Option('--quiet', 'no progress display'),
    new Option('--json', 'print the result as JSON'),
  );
  command
    .addHelpText(
      'after',
      `
A run is a folder: config.json, metrics.jsonl, TensorBoard events, checkpoints, samples, report.html (docs/runs.md). The settings
of a file have the same names in camel case, those of the optimiser, of evaluation and of the loss in objects (docs/grpo.md).

Recipes: ${Object.keys(recipes).join(', ')}

Exit code: 0, 1 where the training failed or diverged, 2 for a wrong option, 130 or 143 when interrupted: the step under way is
finished and saved, and --resume goes on.

Examples:
  perception-r1 train --stage sft --task detection --output runs/warm
  perception-r1 train --stage grpo --task detection --from runs/warm --steps 300
  perception-r1 train --task detection=2,counting --from runs/warm --preset perception-r1 --num-generations 16
  perception-r1 train --resume runs/warm
  perception-r1 train --config settings.json --seed 1 --output runs/seed-1 --json`,
    )
    .action(async (values: Values) => finish(await train(values)));
}

/** @returns the exit code @throws UsageError, PerceptionError */
async function train(values: Values): Promise<number> {
  const { resume, quiet = false } = values;
  if (resume !== undefined) refuseSettings(values);
  const settings = resume === undefined ? settingsOf(values) : {};
  if (values.export !== undefined) mkdirSync(dirname(resolve(values.export)), { recursive: true }); // told now, not in the end
  const grpo = await load();

  const abort = new AbortController();
  const interruption = onInterruption(() => {
    abort.abort();
    progress?.note('Finishing the step under way; a second signal ends at once.');
  });

  let progress: ReturnType<Grpo['startProgress']> | undefined;
  let total = 0;
  const run: TrainRunOptions = {
    signal: abort.signal,
    ...(values.export !== undefined && { export: values.export }),
    started(started) {
      const { config, done } = started;
      total = config.steps;
      if (!quiet) process.stderr.write(`${introduction(started)}\n`);
      const figures =
        config.stage === 'sft' ? ['loss', ...evaluated(config)] : ['reward/mean', ...evaluated(config)];
      progress = grpo.startProgress({ total, done, label: config.stage, figures, quiet });
    },
    step: (line) => progress?.update(line),
    note: (message) => (progress ? progress.note(message) : process.stderr.write(`${message}\n`)),
  };
  let result: TrainResult;
  try {
    result =
      resume === undefined
        ? await grpo.train(settings, folderOf(values, settings), run)
        : await grpo.resumeTraining(resume, run);
  } catch (error) {
    const wrong = error instanceof PerceptionError && /^INVALID_(ARGUMENT|RECIPE)$/.test(error.code);
    if (wrong && !progress) throw new UsageError(error.message, { cause: error });
    throw error;
  } finally {
    interruption.release();
    progress?.stop();
  }
  process.stdout.write(values.json ? `${JSON.stringify(result, null, 2)}\n` : format(result, total));
  return interruption.by && result.stopped === 'signal' ? signals[interruption.by] : 0;
}

async function load(): Promise<Grpo> {
  return withTensorflow('train', () => import('../grpo/index.js'));
}

function refuseSettings(values: Values): void {
  const wrong = Object.keys(values).find((name) => !['resume', 'export', 'quiet', 'json'].includes(name));
  if (wrong === undefined) return;
  const flag = `--${wrong.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw new UsageError(`${flag}: expected no settings beside --resume, which goes on with those of the run`);
}

/** The settings of the file and of the command line, which win. */
function settingsOf(values: Values): TrainOptions {
  const file = values.config === undefined ? {} : readConfig(values.config);
  const line: Record<string, unknown> = {};
  for (const [name, place] of places) {
    if (values[name] === undefined) continue;
    const [outer, inner] = place.split('.') as [string, string?];
    line[outer] = inner === undefined ? values[name] : { ...(line[outer] as object), [inner]: values[name] };
  }
  const settings = { ...file, ...line } as TrainOptions;
  for (const name of ['optimizer', 'evaluation', 'loss'] as const) {
    if (name in line) settings[name] = { ...file[name], ...(line[name] as object) };
  }
  if (values.recipe !== undefined) settings.recipe = recipeOption(values.recipe).recipe;
  const { think, order, maxObjects } = values;
  const ofTasks = {
    ...(think !== undefined && { think }),
    ...(order !== undefined && { order }),
    ...(maxObjects !== undefined && { maxObjects }),
  };
  const tasks =
    values.task ?? file.tasks ?? (Object.keys(ofTasks).length > 0 ? ['detection' as const] : undefined);
  if (tasks) {
    settings.tasks = tasks.map((task) => ({
      ...(typeof task === 'string' ? { name: task } : task),
      ...ofTasks,
    }));
  }
  return settings;
}

function readConfig(path: string): TrainOptions {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UsageError(`--config: expected a JSON file, received "${path}" (${(error as Error).message})`);
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new UsageError(`--config ${path}: expected an object of settings`);
  }
  if ('format' in content && 'config' in content) return content.config as TrainOptions; // a run's config.json
  return content as TrainOptions;
}

/** Where the run goes: a new folder. */
function folderOf({ output }: Values, { stage = 'grpo', tasks = ['detection'] }: TrainOptions): string {
  if (output !== undefined) return output;
  const names = tasks.map((task) => (typeof task === 'string' ? task : task.name));
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-');
  const path = join('runs', [stage, ...names, time].join('-'));
  for (let i = 2; ; i++) {
    const free = i === 2 ? path : `${path}-${i}`;
    if (!existsSync(free)) return free;
  }
}

type Started = Parameters<NonNullable<TrainRunOptions['started']>>[0];

function introduction({ path, config, backend, done }: Started): string {
  const { stage, tasks, size } = config;
  const names = tasks.map(({ name }) => name).join(', ');
  const of = typeof size === 'string' ? size : `${size.width} wide`;
  const lines = [
    `${stage} on ${names}: ${of} policy on ${backend.name} (${backend.package}), run in ${shown(path)}`,
  ];
  // tensorflow is the fastest, with or without a GPU.
  if (backend.name !== 'tensorflow') lines.push(...backend.reasons.map((reason) => `  not ${reason}`));
  if (done > 0) lines.push(`going on after step ${done}`);
  return lines.join('\n');
}

const headline: Record<TaskName, string> = {
  grounding: 'acc@0.5',
  counting: 'exact_count',
  detection: 'ap',
  ocr: 'edit_distance',
};

/** What the progress display shows of evaluations: the first one of each task. */
function evaluated({ tasks, evaluation: { temperatures } }: TrainConfig): string[] {
  const first = temperatures[0] === 0 ? 'eval' : `eval_t${temperatures[0]}`;
  return tasks.map(({ name }) => `${first}/${tasks.length > 1 ? `${name}/` : ''}${headline[name]}`);
}

function format({ path, report, steps, stopped, before, after }: TrainResult, total: number): string {
  let text = '';
  if (before && after) {
    const rows = Object.entries(before.metrics).map(([name, value]) => {
      const later = after.metrics[name]!;
      const change = later - value;
      return after === before
        ? [name, figure(value)]
        : [name, figure(value), figure(later), `${change > 0 ? '+' : ''}${figure(change)}`];
    });
    const head = ['held-out examples', `step ${before.step}`];
    if (after !== before) head.push(`step ${after.step}`, 'change');
    text += `${formatTable([head, ...rows])}\n`;
  }
  if (stopped !== 'done') {
    const why = stopped === 'time' ? 'the time is up' : 'interrupted';
    text += `Ended after step ${steps} of ${total}: ${why}. To go on: perception-r1 train --resume ${shown(path)}\n`;
  }
  return `${text}Report: ${shown(report)}\n`;
}

const figure = (value: number): string => value.toFixed(Math.abs(value) < 10 ? 3 : 2);

/** A path as short as it can be given from here. */
function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short !== '' && !short.startsWith('..') ? short : path;
}
