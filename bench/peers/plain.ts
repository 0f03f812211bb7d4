/** What one would write by hand: loops over typed arrays. */
import type { PeerModule, Prepared, Task } from './worker.js';

export const packages = (): string[] => [];

function iou({ parameters, data }: Task): Prepared<Float32Array> | undefined {
  const { problems, size, kind } = parameters as { problems: number; size: number; kind: string };
  if (kind !== 'iou') return undefined;
  const { a, b } = data as { a: Float32Array; b: Float32Array };
  const out = new Float32Array(problems * size * size);
  const run = (): Float32Array => {
    let next = 0;
    for (let problem = 0; problem < problems; problem++) {
      const begin = 4 * problem * size;
      const end = begin + 4 * size;
      for (let i = begin; i < end; i += 4) {
        const [x1, y1, x2, y2] = [a[i]!, a[i + 1]!, a[i + 2]!, a[i + 3]!];
        const area = (x2 - x1) * (y2 - y1);
        for (let j = begin; j < end; j += 4) {
          const width = Math.min(x2, b[j + 2]!) - Math.max(x1, b[j]!);
          const height = Math.min(y2, b[j + 3]!) - Math.max(y1, b[j + 1]!);
          const common = width > 0 && height > 0 ? width * height : 0;
          out[next++] = common / (area + (b[j + 2]! - b[j]!) * (b[j + 3]! - b[j + 1]!) - common);
        }
      }
    }
    return out;
  };
  return { run, answer: (values) => values };
}

function advantages({ parameters, data }: Task): Prepared<Float32Array> {
  const { size } = parameters as { size: number };
  const { rewards } = data as { rewards: Float32Array };
  const out = new Float32Array(rewards.length);
  const run = (): Float32Array => {
    for (let begin = 0; begin < rewards.length; begin += size) {
      const end = begin + size;
      let sum = 0;
      for (let i = begin; i < end; i++) sum += rewards[i]!;
      const mean = sum / size;
      let squares = 0;
      for (let i = begin; i < end; i++) squares += (rewards[i]! - mean) ** 2;
      const divisor = Math.sqrt(squares / (size - 1)) + 1e-4;
      for (let i = begin; i < end; i++) out[i] = (rewards[i]! - mean) / divisor;
    }
    return out;
  };
  return { run, answer: (values) => values };
}

export const prepare: PeerModule['prepare'] = (task) =>
  task.kernel === 'iou' ? iou(task) : advantages(task);
