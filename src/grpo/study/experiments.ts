/** The study as data: what is trained, and what is compared. Imports no TensorFlow.js: the command line's help needs it. */
import { type RecipeInput, recipes } from '../../rewards/recipes.js';
import type { TrainOptions } from '../config.js';
import type { TaskName } from '../tasks/task.js';

/** A training, done once for each seed. */
export interface Experiment {
  /** The experiment whose run of the same seed it begins with; without one it begins with random weights. */
  from?: string;
  options: TrainOptions;
}

/** A figure of a run. */
export interface Measure {
  /** Of the evaluation, as 'ap'; or 'minutes' of training. */
  name: string;
  label: string;
  digits: number;
  /** Less is better. */
  lower?: boolean;
}

/** One side of a comparison: runs of an experiment, before or after their training. */
export interface Cell {
  experiment: string;
  when: 'before' | 'after';
}

export interface Row extends Cell {
  label: string;
  /** What the paper has in this row. */
  paper?: string;
}

/** A table: a line for each row and temperature. */
export interface Part {
  title?: string;
  rows: readonly Row[];
  measures: readonly Measure[];
}

/** That one side is better than another: what the paper found, or what follows from it. */
export interface Claim {
  text: string;
  measure: Measure;
  temperature: 0 | 1;
  better: Cell;
  worse: Cell;
  /** The paper's figures of both. */
  paper: string;
  /** Where it is about further training by RL and by SFT, of this task. */
  task?: TaskName;
}

export interface Comparison {
  name: string;
  title: string;
  text: string;
  parts: readonly Part[];
  claims: readonly Claim[];
}

const evaluation = { every: 0, examples: 400, temperatures: [0, 1] };
/** Checkpoints of every step would take longer than the steps of the smaller runs. */
const shared = { size: 'small', saveEvery: 20, evaluation } as const satisfies TrainOptions;
const tasks: readonly TaskName[] = ['grounding', 'counting', 'detection', 'ocr'];

const start = (think: boolean): Experiment => ({
  options: {
    ...shared,
    stage: 'sft',
    tasks: tasks.map((name) => ({ name, think })),
    steps: 1800,
    batchSize: 32,
  },
});

const grpo = (task: TaskName, options: TrainOptions = {}, from = 'start'): Experiment => ({
  from,
  options: {
    ...shared,
    stage: 'grpo',
    tasks: [task],
    steps: 300,
    promptsPerStep: 32,
    numGenerations: 8,
    temperature: 0.7,
    optimizer: { learningRate: 4e-4, decay: 'linear' },
    ...options,
  },
});

/** As the start, but that the learning rate rises sooner: there are as many updates as in `grpo`. */
const sft = (task: TaskName): Experiment => ({
  from: 'start',
  options: {
    ...shared,
    stage: 'sft',
    tasks: [task],
    steps: 300,
    batchSize: 32,
    optimizer: { warmupSteps: 20 },
  },
});

const strict = recipes['perception-r1/detection-strict'];
const extending = (members: Partial<RecipeInput>): TrainOptions => ({
  recipe: { extends: 'perception-r1/detection-strict', ...members },
});
const matching = (method: 'greedy' | 'in-order'): TrainOptions =>
  extending({ matcher: { ...strict.matcher!, method } as NonNullable<RecipeInput['matcher']> });
const terms = (summed: readonly ('class' | 'f1')[]): TrainOptions => {
  const left = Object.fromEntries(
    (['class', 'f1'] as const).filter((name) => !summed.includes(name)).map((name) => [name, 0]),
  );
  return extending({ terms: { ...strict.terms, ...left }, missingPenalty: 0 });
};
const completions = (numGenerations: number): Experiment =>
  grpo('counting', { promptsPerStep: 16, numGenerations });
const fromScratch = ({ options }: Experiment): Experiment => ({ options });

/** By name, in the order in which they are run: what tells most comes first. */
export const experiments: Readonly<Record<string, Experiment>> = {
  start: start(false),
  detection: grpo('detection'),
  counting: grpo('counting'),
  grounding: grpo('grounding'),
  ocr: grpo('ocr'),
  'matching-in-order': grpo('detection', matching('in-order')),
  'matching-greedy': grpo('detection', matching('greedy')),
  'completions-2': completions(2),
  'completions-16': completions(16),
  'completions-8': completions(8),
  'completions-4': completions(4),
  'sft-detection': sft('detection'),
  'sft-counting': sft('counting'),
  'sft-grounding': sft('grounding'),
  'sft-ocr': sft('ocr'),
  'scratch-detection': fromScratch(grpo('detection')),
  'scratch-counting': fromScratch(grpo('counting')),
  'terms-iou': grpo('detection', terms([])),
  'terms-class': grpo('detection', terms(['class'])),
  'terms-f1': grpo('detection', terms(['class', 'f1'])),
  'start-thinking': start(true),
  'thinking-detection': grpo('detection', { tasks: [{ name: 'detection', think: true }] }, 'start-thinking'),
  'thinking-grounding': grpo('grounding', { tasks: [{ name: 'grounding', think: true }] }, 'start-thinking'),
  'sft-rl-detection': grpo('detection', {}, 'sft-detection'),
  'sft-rl-counting': grpo('counting', {}, 'sft-counting'),
};

const reward: Measure = { name: 'reward', label: 'reward', digits: 3 };
const minutes: Measure = { name: 'minutes', label: 'training, min', digits: 1, lower: true };
const ap: Measure = { name: 'ap', label: 'AP', digits: 1 };
const exactCount: Measure = { name: 'exact_count', label: 'exact count, %', digits: 1 };
const accuracy: Measure = { name: 'acc@0.5', label: 'Acc@0.5, %', digits: 1 };
const editDistance: Measure = { name: 'edit_distance', label: 'edit distance', digits: 4, lower: true };

/** The figures of a task, the one that counts first. */
const measures: Readonly<Record<TaskName, readonly Measure[]>> = {
  detection: [
    ap,
    { name: 'ap50', label: 'AP50', digits: 1 },
    { name: 'ap75', label: 'AP75', digits: 1 },
    exactCount,
    reward,
  ],
  counting: [exactCount, { name: 'mae', label: 'mean error', digits: 2, lower: true }, reward],
  grounding: [accuracy, { name: 'mean_iou', label: 'mean IoU, %', digits: 1 }, reward],
  ocr: [editDistance, { name: 'exact', label: 'exact, %', digits: 1 }, reward],
};

const before = (experiment: string): Cell => ({ experiment, when: 'before' });
const after = (experiment: string): Cell => ({ experiment, when: 'after' });
const titles: Readonly<Record<TaskName, string>> = {
  detection: 'Detection',
  counting: 'Counting',
  grounding: 'Grounding',
  ocr: 'OCR',
};

const improvement = (task: TaskName, paper: string): Claim[] =>
  ([0, 1] as const).map((temperature) => ({
    text: `GRPO improves ${task === 'ocr' ? 'OCR' : task}`,
    measure: measures[task][0]!,
    temperature,
    better: after(task),
    worse: before(task),
    paper,
  }));

const better = (text: string, one: string, other: string, measure: Measure, paper: string): Claim => ({
  text,
  measure,
  temperature: 0,
  better: after(one),
  worse: after(other),
  paper,
});

const overSft = (task: TaskName, paper: string): Claim => ({
  ...better(
    `As many updates of RL improve ${task === 'ocr' ? 'OCR' : task} more than SFT`,
    task,
    `sft-${task}`,
    measures[task][0]!,
    paper,
  ),
  task,
});

/** By the order of the report. `perplexity` needs no runs of its own. */
export const comparisons: readonly Comparison[] = [
  {
    name: 'tasks',
    title: 'Four tasks: the supervised start and GRPO',
    text: 'One policy per seed is trained on the targets of all four tasks, then 300 steps of GRPO (32 prompts x 8 completions) on one of them.',
    parts: (['detection', 'counting', 'grounding', 'ocr'] as const).map((task) => ({
      title: titles[task],
      rows: [
        { label: 'supervised start', ...before(task) },
        { label: '+ GRPO', ...after(task) },
      ],
      measures: [...measures[task]],
    })),
    claims: [
      ...improvement('detection', 'AP on COCO 16.1 -> 31.9'),
      ...improvement('counting', 'PixMo-Count val 60.2 -> 78.1'),
      ...improvement('grounding', 'RefCOCO val @50 86.8 -> 89.1'),
      ...improvement('ocr', 'PageOCR en 8.0 -> 3.5'),
    ],
  },
  {
    name: 'matching',
    title: 'Detection: how predictions are paired with objects in the reward',
    text: 'Supervised targets list objects in random order, as annotation files do. All runs are evaluated alike.',
    parts: [
      {
        rows: [
          { label: 'supervised start', ...before('detection'), paper: '16.1' },
          { label: 'Hungarian', ...after('detection'), paper: '31.9' },
          { label: 'greedy', ...after('matching-greedy') },
          { label: 'in order', ...after('matching-in-order'), paper: '23.5' },
        ],
        measures: measures.detection,
      },
    ],
    claims: [
      better(
        'Hungarian matching is above matching in order',
        'detection',
        'matching-in-order',
        ap,
        'AP on COCO 31.9 against 23.5',
      ),
      better(
        'Hungarian matching is above greedy matching',
        'detection',
        'matching-greedy',
        ap,
        'not compared',
      ),
    ],
  },
  {
    name: 'terms',
    title: 'Detection: reward terms, one after the other',
    text: 'The last row is the whole reward. Rewards in the table are the whole one for all runs.',
    parts: [
      {
        rows: [
          { label: 'supervised start', ...before('detection') },
          { label: 'format + IoU', ...after('terms-iou'), paper: '18.8 / 25.3 / 20.1' },
          { label: '+ class', ...after('terms-class'), paper: '20.2 / 27.3 / 21.4' },
          { label: '+ F1', ...after('terms-f1'), paper: '27.6 / 42.0 / 28.7' },
          { label: '+ missing penalty', ...after('detection'), paper: '28.1 / 42.0 / 29.6' },
        ],
        measures: measures.detection,
      },
    ],
    claims: [
      better('The class term helps', 'terms-class', 'terms-iou', ap, 'AP on COCO 18.8 -> 20.2'),
      better('The F1 term helps', 'terms-f1', 'terms-class', ap, 'AP on COCO 20.2 -> 27.6, the largest step'),
      better('The missing penalty helps', 'detection', 'terms-f1', ap, 'AP on COCO 27.6 -> 28.1'),
    ],
  },
  {
    name: 'thinking',
    title: 'Thinking or not',
    text: 'With thinking, the supervised start too has learned to name the digits in `<think>` first.',
    parts: (['detection', 'grounding'] as const).map((task) => ({
      title: titles[task],
      rows: [
        { label: 'start, without', ...before(task) },
        { label: 'start, thinking', ...before(`thinking-${task}`) },
        { label: 'GRPO, without', ...after(task), paper: task === 'detection' ? '28.1' : '89.1' },
        {
          label: 'GRPO, thinking',
          ...after(`thinking-${task}`),
          paper: task === 'detection' ? '25.7' : '75.1',
        },
      ],
      measures: [...measures[task], minutes],
    })),
    claims: [
      better(
        'Detection is better without thinking',
        'detection',
        'thinking-detection',
        ap,
        'AP on COCO 28.1 against 25.7',
      ),
      better(
        'Grounding is better without thinking',
        'grounding',
        'thinking-grounding',
        accuracy,
        'RefCOCO val 89.1 against 75.1',
      ),
    ],
  },
  {
    name: 'completions',
    title: 'Counting: completions per prompt',
    text: '16 prompts a step and the same number of updates, so that more completions also cost more time.',
    parts: [
      {
        rows: [
          { label: 'supervised start', ...before('completions-8') },
          ...[2, 4, 8, 16].map((count) => ({ label: `G = ${count}`, ...after(`completions-${count}`) })),
        ],
        measures: [...measures.counting, minutes],
      },
    ],
    claims: [
      better(
        '16 completions are better than 2',
        'completions-16',
        'completions-2',
        exactCount,
        'not compared',
      ),
      better(
        '16 completions are better than 8',
        'completions-16',
        'completions-8',
        exactCount,
        'better, in a figure',
      ),
      better(
        '16 completions are better than 8',
        'completions-16',
        'completions-8',
        reward,
        'better, in a figure',
      ),
    ],
  },
  {
    name: 'stages',
    title: 'Reinforcement learning, supervised training, or both',
    text: `All by the same number of updates, 300. SFT is the start trained further on the targets of the one task, RL the start trained by
GRPO, SFT, then RL the one after the other. The start is here what the pretrained model is in the paper, so that its "RL only" is
RL here; RL from random weights has no counterpart there. Minutes are of the last training alone.`,
    parts: (['detection', 'counting', 'grounding', 'ocr'] as const).map((task) => {
      const both = task === 'detection' || task === 'counting';
      const paper = {
        detection: ['25.9', '31.9', '30.8'],
        counting: ['58.0', '78.1', '77.1'],
        grounding: ['88.2', '89.1', '88.4'],
        ocr: ['F1 97.2', 'F1 98.2', 'F1 98.3'],
      }[task];
      return {
        title: titles[task],
        rows: [
          { label: 'supervised start', ...before(task) },
          ...(both ? [{ label: 'RL from random weights', ...after(`scratch-${task}`) }] : []),
          { label: 'SFT', ...after(`sft-${task}`), paper: paper[0]! },
          { label: 'RL', ...after(task), paper: paper[1]! },
          ...(both ? [{ label: 'SFT, then RL', ...after(`sft-rl-${task}`), paper: paper[2]! }] : []),
        ],
        measures: [...measures[task], minutes],
      };
    }),
    claims: [
      overSft('detection', 'AP on COCO 31.9 against 25.9'),
      overSft('counting', 'PixMo-Count val 78.1 against 58.0'),
      overSft('grounding', 'RefCOCO val 89.1 against 88.2'),
      overSft('ocr', 'PageOCR F1 98.2 against 97.2'),
      better(
        'Detection: SFT, then RL is above SFT',
        'sft-rl-detection',
        'sft-detection',
        ap,
        'AP on COCO 30.8 against 25.9',
      ),
      better(
        'Counting: SFT, then RL is above SFT',
        'sft-rl-counting',
        'sft-counting',
        exactCount,
        'PixMo-Count val 77.1 against 58.0',
      ),
      better(
        'Detection: RL alone is above SFT, then RL',
        'detection',
        'sft-rl-detection',
        ap,
        'AP on COCO 31.9 against 30.8',
      ),
      better(
        'Counting: RL alone is above SFT, then RL',
        'counting',
        'sft-rl-counting',
        exactCount,
        'PixMo-Count val 78.1 against 77.1',
      ),
    ],
  },
  {
    name: 'perplexity',
    title: 'Perceptual perplexity',
    text: `The mean number of possible matchings of predictions with objects, n! of n objects, over 10,000 training examples; 1 for grounding
and OCR, which have one answer. The paper measures 229,202 (PixMo-Count) and 3.47e83 (COCO), and finds RL above SFT where it is high.`,
    parts: [],
    claims: [],
  },
];

/** A run of the study. */
export interface PlannedRun {
  /** Of its folder. */
  name: string;
  experiment: string;
  /** Of the study; the training's own also tells apart the trainings that follow each other. */
  seed: number;
  /** The run it begins with. */
  from?: string;
  options: TrainOptions;
}

export const runName = (experiment: string, seed: number): string => `${experiment}-seed-${seed}`;

export interface PlanOptions {
  seeds: readonly number[];
  /** Names of comparisons; all of them where none is given. */
  only?: readonly string[];
  /** Multiplies steps, and where it is below 1 the scenes of evaluations. Default 1. */
  scale?: number;
}

/** The comparisons that are wanted. */
export const chosenComparisons = ({ only }: Pick<PlanOptions, 'only'>): readonly Comparison[] =>
  comparisons.filter(({ name }) => !only || only.includes(name));

/** The runs that comparisons need, in the order in which they are to be run: none comes before the one it begins with. */
export function planRuns({ seeds, only, scale = 1 }: PlanOptions): PlannedRun[] {
  const needed = new Set<string>();
  const need = (name: string): void => {
    const { from } = experiments[name]!;
    if (from !== undefined) need(from);
    needed.add(name);
  };
  for (const { parts, claims } of chosenComparisons({ ...(only && { only }) })) {
    for (const { rows } of parts) for (const { experiment } of rows) need(experiment);
    for (const claim of claims) {
      need(claim.better.experiment);
      need(claim.worse.experiment);
    }
  }
  return Object.entries(experiments)
    .filter(([name]) => needed.has(name))
    .flatMap(([experiment, { from, options }]) =>
      seeds.map((seed) => ({
        name: runName(experiment, seed),
        experiment,
        seed,
        ...(from !== undefined && { from: runName(from, seed) }),
        options: { ...scaled(options, scale), seed: seed + 1000 * depth(experiment) },
      })),
    );
}

/** How many trainings came before: each has a seed of its own, or it would see the examples of the one before again. */
function depth(experiment: string): number {
  const { from } = experiments[experiment]!;
  return from === undefined ? 0 : 1 + depth(from);
}

export const evaluatedScenes = (scale: number): number =>
  Math.max(8, Math.round(evaluation.examples * Math.min(1, scale)));

function scaled(options: TrainOptions, scale: number): TrainOptions {
  const steps = Math.max(1, Math.round(options.steps! * scale));
  const { optimizer } = options;
  return {
    ...options,
    steps,
    evaluation: { ...evaluation, examples: evaluatedScenes(scale) },
    ...(optimizer?.warmupSteps !== undefined && {
      optimizer: { ...optimizer, warmupSteps: Math.min(optimizer.warmupSteps, steps) },
    }),
  };
}
