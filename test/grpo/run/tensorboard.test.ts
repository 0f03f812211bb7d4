import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { EventFile } from '../../../src/grpo/run/tensorboard.js';
import { temporaryFolder } from './support.js';

afterEach(() => {
  vi.useRealTimers();
});

/** What TensorFlow 2.21 writes for the same events (tf.io.TFRecordWriter over event_pb2.Event). */
const byTensorFlow =
  'GAAAAAAAAACjf0siCQAAEED8VNlBGg1icmFpbi5FdmVudDoyM40v6TMAAAAAAAAADKcgVgkAABBA/FTZQRCsAiolChIKC3Jld2FyZC9tZWFuFQAAwD8KDwoI0LrQu9GO0YcVAADAf3l3GlwQAAAAAAAAAJX7/hgJAAAQQPxU2UEQrQI6AggBy3m5O+YAAAAAAAAAcSNPhwkAABBA/FTZQRCAgICAgCAq0wEK0AEKyAF4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eBXNzMy9ushQoA==';

test('the file is, byte for byte, what TensorFlow writes', () => {
  vi.useFakeTimers({ now: 1700000000250 });
  const path = join(temporaryFolder(), 'events');
  const file = new EventFile(path);
  file.scalars(300, { 'reward/mean': 1.5, ключ: Number.NaN });
  file.restart(301);
  file.scalars(2 ** 40, { ['x'.repeat(200)]: -0.1 });
  expect(readFileSync(path).toString('base64')).toBe(byTensorFlow);
});

test('a file that is there is not written over', () => {
  const path = join(temporaryFolder(), 'events');
  new EventFile(path);
  expect(() => new EventFile(path)).toThrow(/EEXIST/);
});
