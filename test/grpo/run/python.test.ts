/** Our files as Python's libraries read them; skipped, saying so, where Python has none of them. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readCheckpoint, writeCheckpoint } from '../../../src/grpo/run/checkpoint.js';
import { RunFolder } from '../../../src/grpo/run/folder.js';
import { checkpointOf, lineOf, temporaryFolder } from './support.js';

const python = process.env.PERCEPTION_R1_PYTHON ?? 'python3';

function missing(...modules: string[]): boolean {
  const { status } = spawnSync(python, ['-c', `import ${modules.join(', ')}`]);
  if (status !== 0) console.log(`Not compared with Python: ${python} has no ${modules.join(' or no ')}`);
  return status !== 0;
}

/** Runs a program that prints JSON; `sys.argv[1]` is `argument`. */
function run(program: string, argument: string): unknown {
  const { stdout, stderr } = spawnSync(python, ['-c', program, argument], { encoding: 'utf8' });
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout);
}

test.skipIf(missing('safetensors', 'numpy'))('safetensors reads checkpoints, and we read its files', () => {
  const folder = temporaryFolder();
  for (const floats of ['F32', 'F16'] as const) {
    const path = join(folder, floats);
    writeCheckpoint(path, checkpointOf(3), { floats });
    const read = run(
      `import sys, json
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open(sys.argv[1], 'np') as f:
    tensors = {k: f.get_tensor(k) for k in f.keys()}
    metadata = f.metadata()
save_file(tensors, sys.argv[1] + '.copy', metadata)
print(json.dumps({'metadata': metadata, 'tensors': {k: [str(v.dtype), list(v.shape), v.astype('float64').ravel().tolist()] for k, v in tensors.items()}}))`,
      path,
    );
    const { weights, updates } = readCheckpoint(path).tensors;
    expect(read).toEqual({
      metadata: { step: '3', seed: '7', data_crc32: expect.stringMatching(/^[0-9a-f]{8}$/) },
      tensors: {
        weights: [floats === 'F16' ? 'float16' : 'float32', [5, 2], [...weights!.data]],
        updates: ['int32', [], [...updates!.data]],
      },
    });
    expect(readFileSync(`${path}.copy`).length).toBeGreaterThan(0);
    expect(readCheckpoint(`${path}.copy`)).toEqual(readCheckpoint(path));
  }
});

test.skipIf(missing('tensorboard'))(
  'TensorBoard shows a run that was killed and went on as if it had not been',
  () => {
    const path = join(temporaryFolder(), 'run');
    const killed = RunFolder.create(path, {});
    for (const step of [1, 2, 3, 4]) killed.log(lineOf(step));
    const [events] = readdirSync(path).filter((name) => name.includes('tfevents'));
    truncateSync(join(path, events!), readFileSync(join(path, events!)).length - 7); // while it wrote step 4
    const resumed = RunFolder.open(path);
    resumed.rewind(2);
    for (const step of [3, 4, 5]) resumed.log({ ...lineOf(step), metrics: { 'reward/mean': 100 + step } });
    const scalars = run(
      `import sys, json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
a = EventAccumulator(sys.argv[1])
a.Reload()
print(json.dumps({tag: [[e.step, e.value] for e in a.Scalars(tag)] for tag in a.Tags()['scalars']}))`,
      path,
    ) as Record<string, [number, number][]>;
    expect(Object.keys(scalars).sort()).toEqual(['eval/ap', 'reward/mean', 'time/sample', 'time/update']);
    expect(scalars['reward/mean']).toEqual([
      [1, Math.fround(1 / 3)],
      [2, Math.fround(2 / 3)],
      [3, 103],
      [4, 104],
      [5, 105],
    ]);
  },
);
