import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DoctorReport } from '../src/cli/doctor.js';
import type { ScoreReport } from '../src/cli/summary.js';
import {
  describeStatus,
  type GroundTruth,
  groupAdvantages,
  type RecipeName,
  recipes,
  scoreCompletions,
} from '../src/index.js';
import { packageVersion } from '../src/info.js';
import * as commandLine from './command-line.js';

const samples = commandLine.pathOf('examples/rollouts.jsonl');

interface Sample {
  id: string;
  recipe: RecipeName;
  groundTruth: GroundTruth;
  completions: string[];
}

interface OutputLine {
  line: number;
  id?: unknown;
  index?: number;
  recipe: string;
  reward: number;
  advantage?: number;
  terms: Record<string, number>;
  faults: string[];
  error?: { code: string; message: string };
}

const box = (x: number): string => `<|box_start|>(${x},100),(300,400)<|box_end|><|im_end|>`;
const rollout = (completion: string, more: object = {}): string =>
  JSON.stringify({ completion, groundTruth: { box: [100, 100, 300, 400] }, ...more });
const parseLines = (text: string): OutputLine[] => {
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as OutputLine);
};

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'perception-r1-cli-'));
});
afterAll(() => {
  if (folder) rmSync(folder, { recursive: true });
});

const start = (args: readonly string[], env: NodeJS.ProcessEnv = {}): ReturnType<typeof commandLine.start> =>
  commandLine.start(args, { PERCEPTION_R1_THREADS: '2', ...env });
const run = (
  args: readonly string[],
  input?: string | Buffer,
  env: NodeJS.ProcessEnv = {},
): Promise<commandLine.Run> => commandLine.run(args, input, { PERCEPTION_R1_THREADS: '2', ...env });

const grounding = ['score', '--recipe', 'perception-r1/grounding', '--input', '-', '--output', '-'];

describe('perception-r1', () => {
  test('--help shows the commands and examples', async () => {
    const { code, stdout } = await run(['--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/score/);
    expect(stdout).toMatch(/doctor/);
    expect(stdout).toMatch(/Examples:/);
    expect((await run(['score', '--help'])).stdout).toMatch(/--group-size/);
  });

  test('--version is that of the package', async () => {
    expect(await run(['--version'])).toMatchObject({ code: 0, stdout: `${packageVersion}\n` });
  });

  test.each([
    [[]],
    [['bogus']],
    [['score']],
    [['score', '--input', '-', '--bogus']],
    [['score', '--input', '-', '--group-size', '0']],
    [['score', '--input', '-', '--batch', '1.5']],
    [['score', '--input', '-', '--coordinates', 'metres']],
  ])('wrong usage %j exits with 2', async (args) => {
    const { code, stderr } = await run(args);
    expect(code).toBe(2);
    expect(stderr).not.toBe('');
  });
});

describe('score', () => {
  test('the samples get what scoreCompletions gives', async () => {
    const output = join(folder, 'samples.jsonl');
    const { code, stdout } = await run(['score', '--input', samples, '--output', output, '--json']);
    expect(code).toBe(0);
    const lines = parseLines(readFileSync(output, 'utf8'));
    let next = 0;
    const prompts = readFileSync(samples, 'utf8').trimEnd().split('\n');
    prompts.forEach((text, i) => {
      const { id, recipe, groundTruth, completions } = JSON.parse(text) as Sample;
      const groupSize = completions.length;
      const scores = scoreCompletions({ recipe, completions, groundTruth: [groundTruth], groupSize });
      for (let k = 0; k < groupSize; k++) {
        const line = lines[next++]!;
        expect(line).toMatchObject({ line: i + 1, id, index: k, recipe });
        expect(Math.fround(line.reward)).toBe(scores.rewards[k]);
        expect(line.advantage).toBeCloseTo(scores.advantages[k]!, 5);
        for (const [name, values] of Object.entries(scores.terms)) {
          expect(Math.fround(line.terms[name]!)).toBe(values[k]);
        }
        expect(line.faults).toEqual(describeStatus(scores.status[k]!));
      }
    });
    expect(next).toBe(lines.length);

    const report = JSON.parse(stdout) as ScoreReport;
    expect(report).toMatchObject({
      interrupted: null,
      lines: prompts.length,
      badLines: 0,
      completions: next,
    });
    expect(report.recipes.map(({ recipe }) => recipe)).toEqual([
      'perception-r1/detection',
      'perception-r1/grounding',
      'perception-r1/counting',
      'perception-r1/ocr',
    ]);
    for (const { recipe, completions, reward, groups } of report.recipes) {
      const rewards = lines.filter((line) => line.recipe === recipe).map((line) => line.reward);
      expect(completions).toBe(rewards.length);
      const mean = rewards.reduce((sum, value) => sum + value) / rewards.length;
      const squares = rewards.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      expect(reward.mean).toBeCloseTo(mean, 6);
      expect(reward.std).toBeCloseTo(Math.sqrt(squares / (rewards.length - 1)), 6);
      expect(reward.min).toBeCloseTo(Math.min(...rewards), 6);
      expect(reward.max).toBeCloseTo(Math.max(...rewards), 6);
      expect(groups).toMatchObject({
        count: rewards.length / 8,
        compared: rewards.length / 8,
        incomplete: 0,
      });
    }
  });

  test('the table has a row for each term and the rate', async () => {
    const { code, stdout } = await run(['score', '--input', samples]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^perception-r1\/detection: 112 completions in 14 groups$/m);
    expect(stdout).toMatch(/^ {2}term +weight +mean +std +min +max$/m);
    expect(stdout).toMatch(/^ {2}similarity +1 +0\.\d{4} /m);
    expect(stdout).toMatch(/zero-variance groups: \d+ of 14/);
    expect(stdout).toMatch(/completions with faults: .*malformed \d+ \(\d+\.\d %\)/);
    expect(stdout).toMatch(/416 completions in [\d.]+ s \([\d,]+ per second\)/);
  });

  test('gzip in and out, and batches of any size, give the same lines', async () => {
    const plain = (await run(['score', '--input', samples, '--output', '-'])).stdout;
    const input = join(folder, 'in.gz');
    const output = join(folder, 'out.jsonl.gz');
    writeFileSync(input, gzipSync(readFileSync(samples)));
    const { code } = await run(['score', '--input', input, '--output', output, '--batch', '5']);
    expect(code).toBe(0);
    expect(gunzipSync(readFileSync(output)).toString()).toBe(plain);
    expect((await run(['score', '--input', '-', '--output', '-'], readFileSync(input))).stdout).toBe(plain);
  });

  test('a gzip file that is cut off is said to be, and what is whole is scored', async () => {
    const lines = Array.from({ length: 20000 }, (_, i) => rollout(box(i % 200))).join('\n');
    const whole = gzipSync(lines);
    const { code, stdout, stderr } = await run(grounding, whole.subarray(0, whole.length / 2));
    expect(code).toBe(1);
    expect(stderr).toMatch(/the input could not be read to its end: unexpected end of file/);
    expect(parseLines(stdout).every(({ reward }) => reward > 0)).toBe(true);
  });

  test('bad lines are named and cost no other line', async () => {
    const good = rollout(box(100), { id: { step: 3 } });
    const input = [
      good,
      '{"completion": ',
      '',
      '[1]',
      '{"completion": 3, "groundTruth": {}}',
      '{"completion": "", "completions": [""], "groundTruth": {}}',
      '{"completions": [], "groundTruth": {}}',
      rollout('', { groundTruth: [1, 2] }),
      rollout('', { recipe: 'perception-r1/none' }),
      rollout('', { groundTruth: { text: 'wrong task' }, id: 7 }),
      rollout('', { groundTruth: { box: [300, 100, 100, 400] } }),
      good,
    ].join('\n');
    const { code, stdout, stderr } = await run(grounding, `${input}\r\n \n`);
    expect(code).toBe(1);
    const lines = parseLines(stdout);
    expect(lines.map(({ line, error }) => [line, error?.code])).toEqual([
      [1, undefined],
      [2, 'INVALID_INPUT'],
      [4, 'INVALID_INPUT'],
      [5, 'INVALID_INPUT'],
      [6, 'INVALID_INPUT'],
      [7, 'INVALID_INPUT'],
      [8, 'INVALID_INPUT'],
      [9, 'INVALID_RECIPE'],
      [10, 'INVALID_GROUND_TRUTH'],
      [11, 'INVALID_GROUND_TRUTH'],
      [12, undefined],
    ]);
    expect(lines[0]).toMatchObject({ id: { step: 3 }, reward: 2, faults: [] });
    expect(lines[0]).not.toHaveProperty('advantage');
    expect(lines[0]).not.toHaveProperty('index');
    expect(lines[8]).toMatchObject({
      id: 7,
      error: { message: expect.stringMatching(/^groundTruth: expected \{box\}/) },
    });
    for (const line of [2, 4, 5, 6, 7, 8, 9, 10, 11]) {
      expect(stderr).toMatch(new RegExp(`^line ${line}: INVALID_`, 'm'));
    }
    expect(stderr).toMatch(/9 lines of 11 not scored/);
  });

  test('text that is not UTF-8, an overlong line and a byte order mark', async () => {
    const input = Buffer.concat([
      Buffer.from(`\ufeff${rollout(box(100))}\n`),
      Buffer.from([0x22, 0xff, 0x22, 0x0a]),
      Buffer.alloc(17 * 1024 * 1024, '['),
      Buffer.from(`\n${rollout(box(100))}`),
    ]);
    const { code, stdout } = await run(grounding, input);
    expect(code).toBe(1);
    expect(parseLines(stdout).map(({ error, reward }) => error?.code ?? reward)).toEqual([
      2,
      'INVALID_INPUT',
      'TOO_LARGE',
      2,
    ]);
  });

  test('at most 20 bad lines are named in full', async () => {
    const { code, stdout, stderr } = await run(
      ['score', '--input', '-', '--json', '--recipe', 'perception-r1/ocr'],
      `${rollout('')}\n`.repeat(3000),
    );
    expect(code).toBe(1);
    expect(stderr.match(/^line \d+: /gm)).toHaveLength(20);
    expect(stderr).toMatch(/2980 more/);
    expect(JSON.parse(stdout)).toMatchObject({ badLines: 3000, errors: { INVALID_GROUND_TRUTH: 3000 } });
  });

  test('groups are counted over lines; bad lines and the end of the file make them smaller', async () => {
    const texts = [0, 50, 100, 0, 90, 100, 0, 10, 20, 100].map(box);
    const lines = texts.map((text) => rollout(text));
    lines[4] = 'not JSON';
    lines[7] = rollout(texts[7]!, { groundTruth: { text: '' } });
    lines[8] = rollout(texts[8]!, { recipe: 'perception-r1/grounding-strict' });
    const output = join(folder, 'groups.jsonl');
    const { code, stdout } = await run(
      [
        'score',
        '--recipe',
        'perception-r1/grounding',
        '--input',
        '-',
        '--group-size',
        '3',
        '--batch',
        '1',
        '--output',
        output,
        '--json',
      ],
      lines.join('\n'),
    );
    expect(code).toBe(1);
    const scored = parseLines(readFileSync(output, 'utf8'));
    const rewards = Float32Array.from(scored, ({ error, reward }) => (error ? Number.NaN : reward));
    const { advantages } = groupAdvantages(rewards, { groupOffsets: Int32Array.of(0, 3, 6, 9, 10) });
    expect(scored.map(({ error }) => error?.code)).toEqual([
      ...[undefined, undefined, undefined],
      ...[undefined, 'INVALID_INPUT', undefined],
      ...[undefined, 'INVALID_GROUND_TRUTH', 'INVALID_INPUT'],
      undefined,
    ]);
    scored.forEach(({ advantage }, i) => {
      if (advantage === undefined) expect(rewards[i]).toBeNaN();
      else expect(advantage).toBeCloseTo(advantages[i]!, 6);
    });
    expect(scored[3]!.advantage).toBeLessThan(-0.5);
    expect(scored[6]!.advantage).toBe(0);
    expect((JSON.parse(stdout) as ScoreReport).recipes[0]!.groups).toEqual({
      count: 4,
      incomplete: 3,
      compared: 2,
      zeroVariance: 0,
      zeroVarianceShare: 0,
    });
  });

  test('a list of completions does not go with --group-size', async () => {
    const { code, stderr } = await run(
      [...grounding, '--group-size', '2'],
      '{"completions": ["a"], "groundTruth": {}}',
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/leave --group-size out/);
  });

  test('groups whose rewards are all equal are counted', async () => {
    const line = (texts: string[]): string =>
      JSON.stringify({ completions: texts, groundTruth: { box: [100, 100, 300, 400] } });
    const input = [line([box(100), box(100)]), line([box(100), box(0)]), line([box(100)])].join('\n');
    const { stdout } = await run(
      ['score', '--recipe', 'perception-r1/grounding', '--input', '-', '--json'],
      input,
    );
    expect((JSON.parse(stdout) as ScoreReport).recipes[0]!.groups).toMatchObject({
      count: 3,
      compared: 2,
      zeroVariance: 1,
      zeroVarianceShare: 0.5,
    });
  });

  test("a recipe of one's own, and sizes on some lines only", async () => {
    const recipe = join(folder, 'recipe.json');
    writeFileSync(recipe, JSON.stringify({ extends: 'perception-r1/grounding-strict', terms: { iou: 3 } }));
    const half = { completion: '[0, 0, 100, 100]', groundTruth: { box: [0, 0, 100, 200] } };
    const sized = { ...half, groundTruth: { ...half.groundTruth, imageSize: [640, 480] } };
    const { code, stdout } = await run(
      ['score', '--recipe', recipe, '--input', '-', '--output', '-', '--coordinates', 'pixels'],
      [half, sized, half].map((line) => JSON.stringify(line)).join('\n'),
    );
    expect(code).toBe(0);
    expect(parseLines(stdout).map(({ line, recipe, reward }) => [line, recipe, reward])).toEqual([
      [1, recipe, 1.5],
      [2, recipe, 1.5],
      [3, recipe, 1.5],
    ]);
  });

  test('an unknown recipe exits with 2 and the list of presets', async () => {
    const { code, stderr } = await run(['score', '--recipe', 'perception-r1/bogus', '--input', samples]);
    expect(code).toBe(2);
    for (const name of Object.keys(recipes)) expect(stderr).toContain(name);
  });

  test('a recipe that is wrong, or does not go with --coordinates, exits with 2', async () => {
    const file = join(folder, 'wrong.json');
    writeFileSync(file, '{"extends": "perception-r1/ocr", "weights": {}}');
    const wrong = await run(['score', '--recipe', file, '--input', samples]);
    expect(wrong).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/recipe\.weights: unknown member/),
    });
    const space = await run([...grounding, '--coordinates', 'pixels']);
    expect(space).toMatchObject({ code: 2, stderr: expect.stringMatching(/grounding-strict/) });
  });

  test('files that cannot be read or written exit with 1, the input itself as output with 2', async () => {
    const missing = join(folder, 'none', 'x.jsonl');
    expect(await run(['score', '--input', missing])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/--input/),
    });
    expect(await run(['score', '--input', samples, '--output', missing])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/--output/),
    });
    const file = join(folder, 'same.jsonl');
    writeFileSync(file, rollout(''));
    expect((await run(['score', '--input', file, '--output', file])).code).toBe(2);
    expect(readFileSync(file, 'utf8')).toBe(rollout(''));
  });

  test('an empty input is no error', async () => {
    const { code, stdout, stderr } = await run(grounding, '');
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/^0 completions/m);
  });

  test.runIf(process.platform !== 'win32').each([
    ['SIGINT', 130, 'out.jsonl'],
    ['SIGTERM', 143, 'out.jsonl.gz'],
  ] as const)(
    '%s leaves whole lines and a summary',
    async (signal, exit, name) => {
      const output = join(folder, `${signal}-${name}`);
      const args = ['--input', '-', '--group-size', '4', '--batch', '8', '--output', output];
      const { child, done } = start(['score', '--recipe', 'perception-r1/grounding', ...args]);
      let fed = 0;
      const feed = setInterval(() => {
        for (let i = 0; i < 50; i++) child.stdin!.write(`${rollout(box(fed++ % 200))}\n`);
        child.stdin!.write('{"completion": "cut'); // the signal may come in the middle of a line
        child.stdin!.write(` off", "groundTruth": {"box": [0, 0, 1, 1]}}\n`);
        fed++;
      }, 5);
      // The file is there once the handlers are; a moment later some lines are scored.
      await expect.poll(() => existsSync(output), { timeout: 20000 }).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 500));
      child.kill(signal);
      const { code, stdout } = await done;
      clearInterval(feed);
      expect(code).toBe(exit);
      expect(stdout).toMatch(new RegExp(`interrupted by ${signal}`));
      const bytes = readFileSync(output);
      const lines = parseLines((name.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString());
      expect(lines.length).toBeGreaterThan(0);
      expect(lines.length % 4).toBe(0);
      lines.forEach((line, i) => {
        expect(line.line).toBe(i + 1);
        expect(line).toHaveProperty('advantage');
      });
    },
    30000,
  );

  test.runIf(process.platform !== 'win32')('a reader that stops early is no failure', async () => {
    const { child, done } = start(grounding);
    child.stdout!.destroy();
    child.stdin!.end(`${rollout(box(1))}\n`.repeat(5000));
    expect(await done).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('doctor', () => {
  test('says that all is well', async () => {
    const { code, stdout } = await run(['doctor', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as DoctorReport;
    expect(report).toMatchObject({
      ok: true,
      version: packageVersion,
      problem: null,
      node: { version: process.versions.node, arch: process.arch },
      addon: { path: expect.stringMatching(/perception_r1\.node$/) },
      cpu: { threads: 2 },
      environment: { PERCEPTION_R1_THREADS: '2' },
    });
    expect(Object.keys(report.tools)).toEqual(['cmake', 'c++', 'python3', 'nvcc']);
    expect((await run(['doctor'])).stdout).toMatch(/^self check +passed$/m);
  });

  test('says what was tried where there is no add-on, and score does too', async () => {
    const env = { PERCEPTION_R1_ADDON: '/nonexistent' };
    const { code, stdout } = await run(['doctor'], '', env);
    expect(code).toBe(1);
    expect(stdout).toMatch(/Tried:\n {2}\/nonexistent: not there/);
    expect(stdout).toMatch(/What to do:/);
    const output = join(folder, 'kept.jsonl');
    writeFileSync(output, 'kept');
    const score = await run(['score', '--input', samples, '--output', output], '', env);
    expect(score).toMatchObject({ code: 1, stderr: expect.stringMatching(/could not be loaded/) });
    expect(readFileSync(output, 'utf8')).toBe('kept');
  });

  test('names the commands that are missing', async () => {
    const { code, stdout } = await run(['doctor', '--json'], '', { PATH: folder, CXX: '' });
    expect(code).toBe(0);
    const { tools } = JSON.parse(stdout) as DoctorReport;
    for (const { version, neededFor } of Object.values(tools)) {
      expect(version).toBeNull();
      expect(neededFor).not.toBe('');
    }
  });
});
