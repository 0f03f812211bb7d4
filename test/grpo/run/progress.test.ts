import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { StepLine } from '../../../src/grpo/run/folder.js';
import { startProgress } from '../../../src/grpo/run/progress.js';

let printed: string[];
const terminal = process.stderr.isTTY;

beforeEach(() => {
  printed = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    printed.push(String(text));
    return true;
  });
  vi.useFakeTimers({ toFake: ['performance', 'Date', 'setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  process.stderr.isTTY = terminal;
});

const line = (step: number, metrics: Record<string, number> = { 'reward/mean': step / 10 }): StepLine => ({
  step,
  metrics,
  timing: { tokens_per_second: 1234.5 },
});

test('elsewhere than on a terminal: the first step, then a line every ten seconds, and the last step', () => {
  process.stderr.isTTY = false;
  const progress = startProgress({ total: 100, label: 'grpo' });
  for (let step = 1; step <= 45; step++) {
    vi.advanceTimersByTime(1000);
    progress.update(line(step));
  }
  progress.stop();
  expect(printed.map((text) => text.split(' | ')[0])).toEqual([
    'grpo 1/100',
    'grpo 11/100',
    'grpo 21/100',
    'grpo 31/100',
    'grpo 41/100',
    'grpo 45/100',
  ]);
  expect(printed[1]).toBe('grpo 11/100 | reward 1.100 | 1,235 tokens/s | 1 min 29 s left\n');
});

test('a run that goes on: the time left is that of its own steps', () => {
  process.stderr.isTTY = false;
  const progress = startProgress({ total: 100, done: 90, label: 'sft', figures: ['loss', 'eval/ap'] });
  vi.advanceTimersByTime(2000);
  progress.update(line(91, { loss: 0.5, 'eval/ap': 12.34 }));
  vi.advanceTimersByTime(10_000);
  progress.update(line(92, { loss: 0.25 }));
  progress.stop();
  expect(printed).toEqual([
    'sft 91/100 | loss 0.500 | eval/ap 12.340 | 1,235 tokens/s | 18 s left\n',
    'sft 92/100 | loss 0.250 | eval/ap 12.340 | 1,235 tokens/s | 48 s left\n',
  ]);
});

test('quiet: notes only; and nothing at all where no step was done', () => {
  process.stderr.isTTY = false;
  const quiet = startProgress({ total: 2, label: 'x', quiet: true });
  quiet.update(line(1));
  quiet.note('a note');
  quiet.stop();
  startProgress({ total: 2, label: 'x' }).stop();
  expect(printed).toEqual(['a note\n']);
});

test('on a terminal: a bar, and notes that do not tear it', () => {
  process.stderr.isTTY = true;
  const progress = startProgress({ total: 4, label: 'grpo' });
  vi.advanceTimersByTime(1000);
  progress.update(line(2));
  progress.note('checkpoint');
  progress.stop();
  const all = printed.join('');
  expect(all).toContain('2/4 | reward 0.200 | 1,235 tokens/s | 1 s left');
  expect(all).toContain('█');
  expect(all).toContain('\r\x1b[Kcheckpoint\n');
});
