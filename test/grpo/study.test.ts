/** The study's list of runs, its tables on folders made for them, and its runner on a program that trains in a moment. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { expect, test } from 'vitest';
import { resolveConfig, type TrainConfig, type TrainOptions } from '../../src/grpo/config.js';
import { evaluatePolicy } from '../../src/grpo/evaluate.js';
import { VisionPolicy } from '../../src/grpo/model/vision-policy.js';
import { RunFolder } from '../../src/grpo/run/folder.js';
import {
  comparisons,
  experiments,
  type PlannedRun,
  planRuns,
  runName,
} from '../../src/grpo/study/experiments.js';
import { reportMarkdown, sentence } from '../../src/grpo/study/markdown.js';
import { perceptualPerplexity } from '../../src/grpo/study/perplexity.js';
import { readRun } from '../../src/grpo/study/results.js';
import { remainingSeconds, runStudy, type StudyProgress } from '../../src/grpo/study/runner.js';
import { type Finding, makeReport, summarise } from '../../src/grpo/study/tables.js';
import { createTask, taskNames } from '../../src/grpo/tasks/index.js';
import type { Task } from '../../src/grpo/tasks/task.js';
import { compileRecipe } from '../../src/rewards/recipes.js';
import { temporaryFolder } from './run/support.js';

const resolved = (options: TrainOptions): TrainConfig => resolveConfig(options, 'cpu');
const optionsOf = (experiment: string): TrainOptions => experiments[experiment]!.options;

test('every run has settings that hold, and comes after the one it begins with', () => {
  for (const scale of [1, 0.001]) {
    const runs = planRuns({ seeds: [1, 2, 3], scale });
    expect(runs).toHaveLength(3 * Object.keys(experiments).length); // none that no table needs
    runs.forEach(({ from, options }, i) => {
      resolved(options);
      if (from !== undefined) expect(runs.slice(0, i).map(({ name }) => name)).toContain(from);
    });
    expect(new Set(runs.map(({ name }) => name)).size).toBe(runs.length);
  }
});

test('a run has the seed of the study, and another one than the run it begins with', () => {
  const runs = planRuns({ seeds: [2] });
  const seedOf = (experiment: string): number =>
    runs.find(({ name }) => name === runName(experiment, 2))!.options.seed!;
  expect(['start', 'sft-counting', 'sft-rl-counting'].map(seedOf)).toEqual([2, 1002, 2002]);
});

test('one table needs its own runs and what they begin with', () => {
  expect(planRuns({ seeds: [7], only: ['thinking'] }).map(({ name }) => name)).toEqual([
    'start-seed-7',
    'detection-seed-7',
    'grounding-seed-7',
    'start-thinking-seed-7',
    'thinking-detection-seed-7',
    'thinking-grounding-seed-7',
  ]);
  expect(planRuns({ seeds: [7], only: ['perplexity'] })).toEqual([]);
});

test('steps are scaled, and scenes only down', () => {
  const [run] = planRuns({ seeds: [1], only: ['tasks'], scale: 0.1 });
  expect([run!.options.steps, run!.options.evaluation!.examples]).toEqual([180, 40]);
  const [longer] = planRuns({ seeds: [1], only: ['tasks'], scale: 2 });
  expect([longer!.options.steps, longer!.options.evaluation!.examples]).toEqual([3600, 400]);
});

test('the recipes reward what their tables say', () => {
  const recipeOf = (experiment: string) => {
    const config = resolved(optionsOf(experiment));
    const given = config.stage === 'grpo' ? config.recipe : undefined;
    return given ?? createTask('detection').recipe;
  };
  const summed = (experiment: string) => {
    const { termNames, weights, native } = compileRecipe(recipeOf(experiment));
    const terms = termNames.filter((name, i) => weights[i] !== 0 && name !== 'missing');
    return { terms, penalty: weights[termNames.indexOf('missing')] ?? 0, matching: native.matching };
  };
  expect(summed('terms-iou')).toMatchObject({ terms: ['format', 'iou'], penalty: 0 });
  expect(summed('terms-class')).toMatchObject({ terms: ['format', 'class', 'iou'], penalty: 0 });
  expect(summed('terms-f1')).toMatchObject({ terms: ['format', 'f1', 'class', 'iou'], penalty: 0 });
  const whole = summed('detection');
  expect(whole).toMatchObject({ terms: ['format', 'f1', 'class', 'iou'], matching: 0 });
  expect(whole.penalty).not.toBe(0);
  expect(summed('matching-greedy')).toEqual({ ...whole, matching: 1 });
  expect(summed('matching-in-order')).toEqual({ ...whole, matching: 2 });
});

test('the tables ask for figures that evaluations have', async () => {
  await tf.setBackend('cpu');
  const policy = new VisionPolicy({ size: 'tiny', height: 64, width: 64, seed: 1 });
  for (const name of taskNames) {
    const { metrics } = evaluatePolicy(policy, createTask(name), { examples: 1 });
    const asked = comparisons.flatMap(({ parts, claims }) => [
      ...parts.flatMap(({ rows, measures }) =>
        rows.flatMap((row) => measures.map((measure) => ({ ...row, measure }))),
      ),
      ...claims.flatMap(({ better, worse, measure }) =>
        [better, worse].map((cell) => ({ ...cell, measure })),
      ),
    ]);
    const mine = asked.filter(({ experiment }) => resolved(optionsOf(experiment)).tasks[0]!.name === name);
    expect(mine.length).toBeGreaterThan(0);
    const names = mine.map(({ measure }) => measure.name).filter((one) => one !== 'minutes');
    expect(Object.keys(metrics)).toEqual(expect.arrayContaining(names));
  }
  policy.dispose();
}, 120_000);

/** Makes the folder of a run, finished unless `until` says otherwise. */
function makeRun(
  output: string,
  run: PlannedRun,
  {
    before = {},
    after = {},
    until = run.options.steps!,
  }: { before?: object; after?: object; until?: number } = {},
): void {
  const folder = RunFolder.create(join(output, run.name), {
    ...resolved(run.options),
    ...(run.from !== undefined && { from: join('/elsewhere', run.from) }),
  });
  folder.log({ step: 0, metrics: { 'eval/reward': 0, ...before }, timing: { 'time/evaluate': 20 } });
  folder.log({ step: 1, metrics: {}, timing: { 'time/step': 60 } });
  const tensors = { x: { shape: [1], data: new Float32Array(1) } };
  if (until > 1) {
    const last = { 'eval/reward': 0, ...after };
    folder.log({
      step: until,
      metrics: last,
      timing: { 'time/data': 6, 'time/update': 24, 'time/evaluate': 10 },
    });
  }
  folder.save({ step: until, metadata: {}, tensors });
}

function runsOf(plan: Parameters<typeof planRuns>[0]): (experiment: string, seed: number) => PlannedRun {
  const runs = planRuns(plan);
  return (experiment, seed) => runs.find(({ name }) => name === runName(experiment, seed))!;
}

test('figures over seeds', () => {
  expect(summarise([16, undefined, 20, 18])).toEqual({
    values: [16, null, 20, 18],
    n: 3,
    mean: 18,
    deviation: 2,
  });
  expect(summarise([4])).toEqual({ values: [4], n: 1, mean: 4, deviation: null });
  expect(summarise([undefined])).toEqual({ values: [null], n: 0, mean: null, deviation: null });
});

test('tables of runs: mean, deviation, gains seed by seed, and what is missing', () => {
  const output = temporaryFolder();
  const plan = { seeds: [1, 2, 3], only: ['tasks', 'stages'] };
  const run = runsOf(plan);
  const detection = [
    [10, 16],
    [12, 20],
    [14, 18],
  ] as const;
  detection.forEach(([before, after], i) => {
    makeRun(output, run('detection', i + 1), { before: { 'eval/ap': before }, after: { 'eval/ap': after } });
    makeRun(output, run('sft-detection', i + 1), { after: { 'eval/ap': after + [3, 2, 1][i]! } });
  });
  makeRun(output, run('ocr', 1), {
    before: { 'eval/edit_distance': 0.3 },
    after: { 'eval/edit_distance': 0.1 },
  });
  makeRun(output, run('ocr', 3), {
    before: { 'eval/edit_distance': 0.2 },
    after: { 'eval/edit_distance': 0.1 },
  });
  makeRun(output, run('counting', 1), {
    before: { 'eval/exact_count': 50 },
    after: { 'eval/exact_count': 60 },
  });
  makeRun(output, run('counting', 2), { before: { 'eval/exact_count': 50 }, until: 200 });
  makeRun(output, run('grounding', 1), { before: { 'eval/acc@0.5': 50 }, after: { 'eval/acc@0.5': 60 } });
  makeRun(output, run('grounding', 2), { before: { 'eval/acc@0.5': 50 }, after: { 'eval/acc@0.5': 41 } });

  const report = makeReport(output, plan);
  const [tasks, stages] = report.sections as [(typeof report.sections)[0], (typeof report.sections)[0]];
  const [start, , trained] = tasks.tables[0]!.rows as [never, never, never] as { figures: unknown[] }[];
  expect(start!.figures[0]).toEqual({ values: [10, 12, 14], n: 3, mean: 12, deviation: 2 });
  expect(trained!.figures[0]).toEqual({ values: [16, 20, 18], n: 3, mean: 18, deviation: 2 });
  const found = (text: string, temperature = 0): Finding =>
    report.sections
      .flatMap(({ findings }) => findings)
      .find((one) => one.text === text && one.temperature === temperature)!;
  const improved = found('GRPO improves detection');
  expect(improved).toMatchObject({ better: 18, worse: 12, gain: 6, seeds: 3, verdict: 'holds' });
  expect(improved.standardError).toBeCloseTo(2 / Math.sqrt(3), 12);
  expect(found('GRPO improves detection', 1)).toMatchObject({
    seeds: 0,
    gain: null,
    verdict: 'too few runs',
  });
  // Less is better: 0.3 -> 0.1 and 0.2 -> 0.1.
  const ocr = found('GRPO improves OCR');
  expect(ocr).toMatchObject({ seeds: 2, verdict: 'holds' });
  expect(ocr.gain).toBeCloseTo(0.15, 12);
  expect(ocr.standardError).toBeCloseTo(0.05, 12);
  expect(found('GRPO improves counting')).toMatchObject({
    seeds: 1,
    gain: 10,
    standardError: null,
    verdict: 'too few runs',
  });
  // Gains of 10 and -9: a mean of 0.5 with a standard error of 9.5.
  expect(found('GRPO improves grounding')).toMatchObject({
    gain: 0.5,
    standardError: 9.5,
    verdict: 'within the spread',
  });
  // SFT is 3, 2 and 1 above.
  expect(found('As many updates of RL improve detection more than SFT')).toMatchObject({
    gain: -2,
    verdict: 'reversed',
  });
  const time = stages.tables[0]!.rows.find(
    ({ label, temperature }) => label === 'RL' && temperature === 0,
  )!.figures.at(-1);
  expect(time).toMatchObject({ n: 3, mean: 1.5, deviation: 0 });
  expect(stages.tables[0]!.rows[0]!.figures.at(-1)).toBeNull();
  expect(report.runs.find(({ name }) => name === 'counting-seed-2')).toEqual({
    name: 'counting-seed-2',
    state: 'begun',
    step: 200,
    steps: 300,
    trainingSeconds: 90,
    evaluationSeconds: 30,
  });

  const text = reportMarkdown({
    ...report,
    date: '2031-01-02',
    command: 'the command',
    machine: {
      cpu: 'A',
      hardwareThreads: 2,
      memoryGiB: 3,
      platform: 'p',
      node: '1',
      backend: 'b',
      version: '0',
    },
    jobs: 1,
    threads: 2,
  });
  expect(text).toContain('| + GRPO | 0 | 18.0 ± 2.0 | missing | missing | missing | 0.000 ± 0.000 |');
  expect(text).toContain('| + GRPO | 0 | 0.1000 ± 0.0000 (2 of 3) |');
  expect(text).toContain('| + GRPO | 0 | 60.0 (1 of 3) |');
  expect(text).toContain('| counting-seed-2 | 200 of 300 | 1.5 | 0.5 | not finished |');
  expect(text).toContain('| counting-seed-3 | 0 of 300 | 0.0 | 0.0 | missing |');
  expect(sentence(improved)).toBe(
    '**GRPO improves detection** (AP, T = 0): holds here. 18 against 12, a gain of 6 ± 1.15 (standard error), 3 seeds. Paper: AP on COCO 16.1 -> 31.9.',
  );
});

test('a run of other settings is refused, and one that begins with another start', () => {
  const output = temporaryFolder();
  const [run] = planRuns({ seeds: [1], only: ['tasks'], scale: 0.5 }) as [PlannedRun];
  makeRun(output, run);
  expect(readRun(output, run).state).toBe('finished');
  const [other] = planRuns({ seeds: [1], only: ['tasks'] }) as [PlannedRun];
  expect(() => readRun(output, other)).toThrow(
    'start-seed-1: expected a run with steps 1800, received one with 900',
  );
  expect(() => readRun(output, { ...run, from: 'x' })).toThrow(
    'expected a run with from "x", received one with nothing',
  );
});

test('a run whose last step was logged but not saved is not finished', () => {
  const output = temporaryFolder();
  const [run] = planRuns({ seeds: [1], only: ['tasks'] }) as [PlannedRun];
  makeRun(output, run);
  rmSync(join(output, run.name, 'checkpoints', 'step-001800.safetensors'));
  expect(readRun(output, run).state).toBe('begun');
});

test('the time left goes by what was measured', () => {
  const [run] = planRuns({ seeds: [1], only: ['tasks'] }) as [PlannedRun];
  const result = (state: 'missing' | 'begun' | 'finished', step: number, training: number) => ({
    run,
    state,
    step,
    steps: 1800,
    seconds: { training, evaluation: 0 },
  });
  const { total } = remainingSeconds([result('missing', 0, 0)]);
  expect(remainingSeconds([result('missing', 0, 0)]).left).toBe(total);
  const mixed = remainingSeconds([
    result('finished', 1800, 2 * total),
    result('begun', 900, total),
    result('missing', 0, 0),
  ]);
  expect(mixed.left).toBeCloseTo(3 * total, 6);
  expect(mixed.total).toBeCloseTo(6 * total, 6);
});

const support = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const stub = [process.execPath, support('study-stub.mjs')] as const;

/** A folder in which the stand-in finds what the settings of runs become. */
function studyFolder(runs: readonly PlannedRun[], behaviour: Record<string, string> = {}): string {
  const output = temporaryFolder();
  const settings = Object.fromEntries(runs.map(({ name, options }) => [name, resolved(options)]));
  writeFileSync(join(output, 'resolved.json'), JSON.stringify(settings));
  writeFileSync(join(output, 'behaviour.json'), JSON.stringify(behaviour));
  return output;
}

const calls = (output: string): string[] =>
  readFileSync(join(output, 'calls.log'), 'utf8').trim().split('\n');
const plan = { seeds: [1], only: ['matching'] };
const matchingRuns = ['start', 'detection', 'matching-in-order', 'matching-greedy'].map((name) =>
  runName(name, 1),
);

test('the runner does each run once, with its share of threads, and begins with the right one', async () => {
  const runs = planRuns(plan);
  const output = studyFolder(runs);
  const seen: StudyProgress[] = [];
  const options = {
    output,
    runs,
    jobs: 2,
    threads: 3,
    program: stub,
    changed: (now: StudyProgress) => seen.push(now),
  };
  expect(await runStudy(options)).toEqual({ finished: matchingRuns, failed: {} });
  expect(calls(output)[0]).toBe('begin start-seed-1 3');
  expect(calls(output).sort()).toEqual(matchingRuns.map((name) => `begin ${name} 3`).sort());
  expect((RunFolder.open(join(output, 'detection-seed-1')).config as TrainConfig).from).toBe(
    join(output, 'start-seed-1'),
  );
  expect(seen[0]).toMatchObject({
    finished: 0,
    failed: 0,
    total: 4,
    share: 0,
    running: [{ name: 'start-seed-1', steps: 1800 }],
  });
  expect(Math.max(...seen.map(({ running }) => running.length))).toBe(2);
  expect(seen.at(-1)).toMatchObject({ finished: 4, share: 1, secondsLeft: 0, running: [] });

  expect(await runStudy(options)).toEqual({ finished: matchingRuns, failed: {} });
  expect(calls(output)).toHaveLength(4);
});

test('a run that fails is told, and stops only those that begin with it', async () => {
  const runs = planRuns({ seeds: [1, 2], only: ['tasks'] }).filter(({ name }) =>
    /start|detection|ocr/.test(name),
  );
  const output = studyFolder(runs, { 'start-seed-1': 'fails', 'ocr-seed-2': 'stops early' });
  const notes: string[] = [];
  const { finished, failed } = await runStudy({
    output,
    runs,
    jobs: 1,
    threads: 1,
    program: stub,
    note: (text) => notes.push(text),
  });
  expect(finished).toEqual(['start-seed-2', 'detection-seed-2']);
  expect(failed).toEqual({
    'start-seed-1': `no luck (exit code 1; ${join(output, 'logs', 'start-seed-1.log')})`,
    'detection-seed-1': 'it begins with start-seed-1, which failed',
    'ocr-seed-1': 'it begins with start-seed-1, which failed',
    'ocr-seed-2': 'it ended after step 1 of 300',
  });
  expect(notes).toContain('detection-seed-1 failed: it begins with start-seed-1, which failed');
});

test('an interruption ends the runs under way, begins no other, and the next time goes on', async () => {
  const runs = planRuns(plan);
  const output = studyFolder(runs, { 'detection-seed-1': 'waits', 'matching-in-order-seed-1': 'waits' });
  const abort = new AbortController();
  const changed = ({ running }: StudyProgress): void => {
    if (running.length === 2 && running.every(({ step }) => step === 1)) abort.abort();
  };
  const options = { output, runs, jobs: 2, threads: 1, program: stub };
  expect(await runStudy({ ...options, signal: abort.signal, changed })).toEqual({
    finished: ['start-seed-1'],
    failed: {},
  });
  expect(existsSync(join(output, 'matching-greedy-seed-1'))).toBe(false);
  expect(await runStudy(options)).toEqual({ finished: matchingRuns, failed: {} });
  expect(
    calls(output)
      .filter((call) => call.startsWith('resume'))
      .sort(),
  ).toEqual(['resume detection-seed-1 1', 'resume matching-in-order-seed-1 1']);
});

test('a program that cannot be started fails its run', async () => {
  const runs = planRuns(plan).slice(0, 1);
  const output = studyFolder(runs);
  const { failed } = await runStudy({ output, runs, jobs: 1, threads: 1, program: ['/nowhere/program'] });
  expect(failed['start-seed-1']).toContain('ENOENT');
});

test('a training ends when the study that started it is gone, and not before', async () => {
  const guard = support('../../dist/grpo/study/guard.js');
  const begin = (body: string) =>
    spawn(process.execPath, ['--import', guard, '--eval', body], {
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
  const endless = begin('console.log("ready"); setInterval(() => {}, 1000)');
  await once(endless.stdout!, 'data');
  endless.disconnect();
  expect(await once(endless, 'exit')).toEqual([null, 'SIGTERM']);
  expect(await once(begin(''), 'exit')).toEqual([0, null]);
});

test('perceptual perplexity is the mean number of matchings', () => {
  const counts = [1, 2, 3, 5];
  const task = (name: Task['name']) =>
    ({
      ...createTask('detection'),
      name,
      example: (_split: string, _seed: number, index: number) => {
        const points = Array.from({ length: counts[index]! }, () => [0, 0]);
        return { groundTruth: { points, labels: points.map(() => '1'), boxes: [] } };
      },
    }) as unknown as Task;
  // (1 + 2 + 6 + 120) / 4
  expect(perceptualPerplexity(task('counting'), { examples: 4 })).toBe(32.25);
  expect(perceptualPerplexity(task('detection'), { examples: 3 })).toBe(3);
  expect(perceptualPerplexity(task('grounding'))).toBe(1);
  expect(perceptualPerplexity(task('ocr'))).toBe(1);
  // One to five objects, nearly always with a place for each: about (1 + 2 + 6 + 24 + 120) / 5 = 30.6.
  const detection = createTask('detection');
  const objects = Array.from({ length: 50 }, (_, i) => detection.example('train', 0, i).objects.length);
  const products = objects.map((n) => [1, 1, 2, 6, 24, 120][n]!);
  expect(perceptualPerplexity(detection, { examples: 50 })).toBe(products.reduce((a, b) => a + b) / 50);
});
