/** What a process that was killed leaves behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { RunFolder } from '../../../src/grpo/run/folder.js';
import { Generator } from '../../reference/random.js';
import { compileWriter, temporaryFolder } from './support.js';

const random = new Generator(5);

test('kill -9 at any moment: the run opens, its lines are whole, and the newest checkpoint is at most a step behind', async () => {
  const { path } = RunFolder.create(join(temporaryFolder(), 'run'), {});
  const writer = compileWriter();
  let before = 0;
  let behind = 0;
  for (let life = 0; life < 10; life++) {
    const child = spawn(process.execPath, [writer, path, 'loop'], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data'); // a step is done
    await sleep(random.next() * 100);
    child.kill('SIGKILL');
    await once(child, 'close');

    const run = RunFolder.open(path);
    const lines = run.lines();
    const latest = run.latest((note) => expect.fail(note));
    const last = lines.at(-1)!.step;
    expect(lines.map(({ step }) => step)).toEqual(lines.map((_, i) => i + 1));
    expect(lines.every(({ step, notes = [''] }) => notes[0]!.length === step % 5000)).toBe(true);
    expect(last - latest!.step).toBeLessThanOrEqual(1);
    expect(last - latest!.step).toBeGreaterThanOrEqual(0);
    expect(latest!.tensors.weights!.data.every((value) => value === latest!.step)).toBe(true);
    expect(last).toBeGreaterThan(before);
    behind += last - latest!.step;
    before = last;
  }
  expect(behind).toBeGreaterThan(0); // some were killed between a line and its checkpoint
  const kept = readdirSync(join(path, 'checkpoints')).filter((name) => name.endsWith('.safetensors'));
  expect(kept.length).toBeLessThanOrEqual(3 + before / 50); // one more than two, killed before it was removed
});
