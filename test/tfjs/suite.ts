/** What holds on every backend and route. */
import type { Tensor } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { BoxFormat, IouKind } from '../../src/index.js';
import * as ops from '../../src/tfjs/index.js';
import { iou } from '../reference/iou.js';
import { Generator } from '../reference/random.js';
import { codeOf, codeOfAsync } from '../support.js';
import { type Case, cases, type Outputs } from './cases.js';

const held = (): [tensors: number, dataIds: number, bytes: number] => [
  tf.memory().numTensors,
  tf.backend().numDataIds(),
  tf.memory().numBytes,
];

function expectEqual(actual: Outputs<Tensor>, expected: ReturnType<Case['expected']>): void {
  expect(Object.keys(actual)).toEqual(Object.keys(expected));
  for (const [name, { shape, values }] of Object.entries(expected)) {
    const tensor = actual[name]!;
    expect(tensor.shape, name).toEqual(shape);
    expect(tensor.dtype, name).toBe(values instanceof Int32Array ? 'int32' : 'float32');
    expect([...tensor.dataSync()], name).toEqual([...Array.from(values)]);
  }
}

const boxes = (...rows: number[][]): Tensor => tf.tensor2d(rows, [rows.length, 4]);
const f32 = (shape: number[]): Tensor => tf.zeros(shape, 'float32');
const i32 = (shape: number[]): Tensor => tf.zeros(shape, 'int32');

/** Bad arguments: what is called, the code and a part of the message. */
const refused: [body: () => unknown, code: string, message: RegExp][] = [
  [
    () => ops.pairwiseIou(f32([2, 3]), f32([2, 4])),
    'SHAPE_MISMATCH',
    /^Argument 'a' passed to 'pairwiseIou' must have shape \[N, 4\], but got \[2, 3\]$/,
  ],
  [
    () => ops.pairwiseIou(f32([4]) as never, f32([2, 4])),
    'SHAPE_MISMATCH',
    /'a' .* \[N, 4\] or \[B, N, 4\], but got \[4\]$/,
  ],
  [
    () => ops.pairwiseIou(f32([2, 3, 4]) as Tensor, f32([2, 4]) as never),
    'SHAPE_MISMATCH',
    /'b' .* \[B, M, 4\], but got \[2, 4\]$/,
  ],
  [
    () => ops.pairwiseIou(f32([2, 3, 4]), f32([3, 3, 4])),
    'SHAPE_MISMATCH',
    /'b' .* \[B, M, 4\] with B = 2 as in 'a', but got \[3, 3, 4\]$/,
  ],
  [
    () => ops.pairwiseIou(i32([2, 4]), f32([2, 4])),
    'INVALID_ARGUMENT',
    /^Argument 'a' passed to 'pairwiseIou' must be float32 tensor, but got int32 tensor$/,
  ],
  [
    () => ops.pairwiseIou('boxes' as never, f32([2, 4])),
    'INVALID_ARGUMENT',
    /'a' .* Tensor or TensorLike, but got "boxes"$/,
  ],
  [() => ops.pairwiseIou(undefined as never, f32([2, 4])), 'INVALID_ARGUMENT', /but got undefined$/],
  [
    () => ops.pairwiseIou([[0, 0, 1, 'x']] as never, f32([2, 4])),
    'INVALID_ARGUMENT',
    /'a' .* hold float32 values, but got "x"$/,
  ],
  [
    () => ops.pairwiseIou([[0, 0, 1, undefined]] as never, f32([2, 4])),
    'INVALID_ARGUMENT',
    /but got undefined$/,
  ],
  [
    () => ops.pairwiseIou([[0, 0, 1, 1], [0]] as never, f32([2, 4])),
    'SHAPE_MISMATCH',
    /'a' .* have rows of one shape, but got \[4\] and \[1\]$/,
  ],
  [
    () => ops.pairwiseIou(f32([1, 2, 4]), f32([1, 2, 4]), { aCounts: [1, 1] }),
    'SHAPE_MISMATCH',
    /'aCounts' .* \[B\] with B = 1 as in 'a', but got \[2\]$/,
  ],
  [
    () => ops.pairwiseIou(f32([1, 2, 4]), f32([1, 2, 4]), { aCounts: [1.5] }),
    'INVALID_ARGUMENT',
    /'aCounts' .* int32 values, but got 1.5$/,
  ],
  [
    () => ops.pairwiseIou(f32([1, 2, 4]), f32([1, 2, 4]), { bCounts: [3] }),
    'INVALID_VALUE',
    /b counts\[0\]: .* 0 to 2, received 3/,
  ],
  [() => ops.pairwiseIou(f32([1, 4]), f32([1, 4]), { kind: 'siou' as never }), 'INVALID_ARGUMENT', /^kind: /],
  [
    () => ops.pairwiseIou(f32([1, 4]), f32([1, 4]), { king: 'iou' } as never),
    'INVALID_ARGUMENT',
    /^options.king: /,
  ],
  [
    () => ops.linearSumAssignment([1, 2]),
    'SHAPE_MISMATCH',
    /'costs' .* \[N, M\] or \[B, N, M\], but got \[2\]$/,
  ],
  [() => ops.linearSumAssignment([[1]], { maximize: 1 as never }), 'INVALID_ARGUMENT', /^maximize: /],
  [() => ops.linearSumAssignment([[[1]]], { rowCounts: [2] }), 'INVALID_VALUE', /row counts\[0\]/],
  [() => ops.linearSumAssignment([[Infinity]]), 'INFEASIBLE', /problem 0: /],
  [() => ops.linearSumAssignment([[[1]], [[Number.NaN]]]), 'INVALID_VALUE', /problem 1: /],
  [() => ops.groupAdvantages([1, 2, 3]), 'INVALID_ARGUMENT', /^groupSize: /],
  [
    () => ops.groupAdvantages([1, 2, 3], { groupSize: 2 }),
    'SHAPE_MISMATCH',
    /'rewards' .* multiple of groupSize = 2 entries, but got \[3\]$/,
  ],
  [
    () => ops.groupAdvantages([[1, 2, 3]], { groupSize: 2 }),
    'SHAPE_MISMATCH',
    /'rewards' .* G = groupSize = 2, but got \[1, 3\]$/,
  ],
  [() => ops.groupAdvantages([[1, Infinity]]), 'INVALID_VALUE', /reward/],
  [() => ops.groupAdvantages([[1, 2]], { ddof: 3 as never }), 'INVALID_ARGUMENT', /^ddof: /],
  [
    () => ops.groundingReward({ boxes: f32([3, 4]), truthBoxes: f32([2, 4]) }),
    'SHAPE_MISMATCH',
    /'boxes' passed to 'groundingReward' .*'truthBoxes'.* but got 3$/,
  ],
  [
    () =>
      ops.groundingReward({
        boxes: [[0, 0, 1, 1]],
        truthBoxes: [[0, 0, 1, 1]],
        recipe: 'perception-r1/detection',
      }),
    'INVALID_RECIPE',
    /'recipe' .* one for grounding, but got one for detection$/,
  ],
  [
    () => ops.groundingReward({ boxes: [[0, 0, 1, 1]], truthBoxes: [[0, 0, Number.NaN, 1]] }),
    'INVALID_VALUE',
    /truth/,
  ],
  [
    () => ops.groundingReward({ boxes: [[0, 0, 1, 1]], truthBox: [[0, 0, 1, 1]] } as never),
    'INVALID_ARGUMENT',
    /truthBox: unknown/,
  ],
  [
    () =>
      ops.detectionReward({
        boxes: f32([2, 3, 4]),
        labels: f32([2, 3]),
        truthBoxes: f32([1, 3, 4]),
        truthLabels: i32([1, 3]),
      }),
    'INVALID_ARGUMENT',
    /'labels' passed to 'detectionReward' must be int32 tensor, but got float32 tensor$/,
  ],
  [
    () =>
      ops.detectionReward({
        boxes: f32([2, 3, 4]),
        labels: i32([2, 2]),
        truthBoxes: f32([1, 3, 4]),
        truthLabels: i32([1, 3]),
      }),
    'SHAPE_MISMATCH',
    /'labels' .* \[N, P\] with N = 2 as in 'boxes' and P = 3 as in 'boxes', but got \[2, 2\]$/,
  ],
  [
    () => ops.countingReward({ points: f32([2, 3, 4]), truthPoints: f32([1, 3, 2]) }),
    'SHAPE_MISMATCH',
    /'points' .* \[N, P, 2\]/,
  ],
  [
    () =>
      ops.countingReward({
        points: f32([2, 3, 2]),
        truthPoints: f32([1, 3, 2]),
        counts: [1, 4],
      }),
    'INVALID_VALUE',
    /predictions counts\[1\]/,
  ],
];

/** x1 y1 x2 y2 of four numbers in `format`. */
function corners(box: ArrayLike<number>, format: BoxFormat): number[] {
  const [p, q, r, s] = Array.from(box) as [number, number, number, number];
  if (format === 'xywh') return [p, q, p + r, q + s];
  return format === 'cxcywh' ? [p - r / 2, q - s / 2, p + r / 2, q + s / 2] : [p, q, r, s];
}

/** v of CIoU (see test/reference/iou.ts). */
function shapeTerm(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const angle = (box: ArrayLike<number>): number => Math.atan2(box[2]! - box[0]!, box[3]! - box[1]!);
  return (4 / Math.PI ** 2) * (angle(b) - angle(a)) ** 2;
}

/** The function that the gradient is of: the reference, where alpha of CIoU is held at its value for `a0`, `b0`. */
function differentiated(kind: IouKind, a0: number[], b0: number[]): (a: number[], b: number[]) => number {
  if (kind !== 'ciou') return (a, b) => iou(a, b, kind);
  const v = shapeTerm(a0, b0);
  const alpha = v / (1 - iou(a0, b0, 'iou') + v);
  return (a, b) => iou(a, b, 'diou') - alpha * shapeTerm(a, b);
}

/** Gradient of sum(weights * IoU) by central differences in double precision. */
function finiteDifferences(
  a: Float32Array,
  b: Float32Array,
  weights: Float32Array,
  kind: IouKind,
  format: BoxFormat,
): [Float64Array, Float64Array] {
  const gradients: [Float64Array, Float64Array] = [new Float64Array(a.length), new Float64Array(b.length)];
  const m = b.length / 4;
  const step = 1e-5;
  for (let i = 0; i < a.length / 4; i++) {
    for (let j = 0; j < m; j++) {
      const both = [[...a.subarray(4 * i, 4 * i + 4)], [...b.subarray(4 * j, 4 * j + 4)]];
      const at = (): [number[], number[]] => [corners(both[0]!, format), corners(both[1]!, format)];
      const f = differentiated(kind, ...at());
      both.forEach((box, side) => {
        for (let k = 0; k < 4; k++) {
          const value = box[k]!;
          box[k] = value + step;
          const above = f(...at());
          box[k] = value - step;
          const below = f(...at());
          box[k] = value;
          gradients[side]![4 * (side ? j : i) + k]! += (weights[i * m + j]! * (above - below)) / (2 * step);
        }
      });
    }
  }
  return gradients;
}

/** Calls of everything, each leaving nothing behind but what it returns. */
const calls: Record<string, () => tf.TensorContainer> = {
  pairwiseIou: () => ops.pairwiseIou([[0, 0, 2, 2]], [[1, 0, 3, 2]], { aCounts: [1] }),
  'gradient of pairwiseIou': () =>
    tf.grad((x: Tensor) => tf.sum(ops.pairwiseIou(x, [[1, 0, 3, 2]], { kind: 'ciou' })))(
      tf.tensor2d([[0, 0, 2, 2]]),
    ),
  linearSumAssignment: () =>
    ops.linearSumAssignment([
      [4, 1, 3],
      [2, 0, 5],
    ]),
  groupAdvantages: () => ops.groupAdvantages([1, 0, 3, 2], { groupSize: 2 }),
  detectionReward: () =>
    ops.detectionReward({
      boxes: [[[0, 0, 2, 2]]],
      labels: [[1]],
      truthBoxes: [[[0, 0, 2, 3]]],
      truthLabels: [[1]],
    }),
  countingReward: () => ops.countingReward({ points: [[[5, 5]]], truthPoints: [[[6, 6]]], counts: [1] }),
  groundingReward: () => ops.groundingReward({ boxes: [[0, 0, 2, 2]], truthBoxes: [[1, 0, 3, 2]] }),
};

/** The tests of the backend in use, which `select` chooses, on the route that is expected there. */
export function suite(select: () => Promise<unknown>, route: ops.Route['route']): void {
  beforeEach(async () => {
    await select();
    tf.env().set('IS_TEST', true); // the engine then throws when a kernel leaks
    tf.engine().startScope();
  });
  afterEach(() => tf.engine().endScope());

  test(`takes the ${route} route and says so`, () => {
    const explained = ops.explainRoute();
    expect(explained).toMatchObject({ backend: tf.getBackend(), route });
    expect(explained.reason).not.toBe('');
    expect('library' in explained).toBe(route === 'tensorflow');
  });

  describe('gives what the typed-array API gives, to the last bit', () => {
    for (const { name, run, runAsync, expected } of cases) {
      test(name, async () => {
        expectEqual(run(), expected());
        expectEqual(await runAsync(), expected());
      });
    }
  });

  test('bad arguments', async () => {
    for (const [body, code, message] of refused) {
      expect(codeOf(body), String(body)).toBe(code);
      expect(body).toThrow(message);
    }
    const disposed = f32([1, 4]);
    disposed.dispose();
    expect(codeOf(() => ops.pairwiseIou(disposed, disposed))).toBe('INVALID_ARGUMENT');
    expect(await codeOfAsync(ops.pairwiseIouAsync(disposed, disposed))).toBe('INVALID_ARGUMENT');
    expect(await codeOfAsync(ops.linearSumAssignmentAsync([[Infinity]]))).toBe('INFEASIBLE');
  });

  describe('gradients', () => {
    for (const kind of ['iou', 'giou', 'diou', 'ciou'] as const) {
      for (const format of ['xyxy', 'xywh', 'cxcywh'] as const) {
        test(`${kind} of ${format} against finite differences`, () => {
          const random = new Generator(41);
          const [batch, n, m] = [3, 5, 6];
          // Boxes of about 1: crowded enough for overlaps, coarse enough for single precision.
          const list = (count: number): Float32Array =>
            Float32Array.from({ length: 4 * count }, (_, k) => {
              const size = 0.2 + random.next();
              return k % 4 < 2 ? random.next() : format === 'xyxy' ? 1 + random.next() : size;
            });
          const a = list(batch * n);
          const b = list(batch * m);
          const weights = Float32Array.from({ length: batch * n * m }, () => random.next() - 0.3);
          const [gradA, gradB] = tf.grads((x: Tensor, y: Tensor) =>
            tf.sum(tf.mul(ops.pairwiseIou(x, y, { kind, format }), tf.tensor3d(weights, [batch, n, m]))),
          )([tf.tensor3d(a, [batch, n, 4]), tf.tensor3d(b, [batch, m, 4])]) as [Tensor, Tensor];
          expect([gradA.shape, gradB.shape]).toEqual([
            [batch, n, 4],
            [batch, m, 4],
          ]);
          for (let i = 0; i < batch; i++) {
            const part = (x: Float32Array, size: number): Float32Array =>
              x.subarray(i * size, (i + 1) * size);
            const expected = finiteDifferences(
              part(a, 4 * n),
              part(b, 4 * m),
              part(weights, n * m),
              kind,
              format,
            );
            [gradA, gradB].forEach((gradient, side) => {
              const values = part(gradient.dataSync() as Float32Array, expected[side]!.length);
              values.forEach((value, k) =>
                expect(Math.abs(value - expected[side]![k]!), `${side} ${k}`).toBeLessThan(2e-5),
              );
            });
          }
        });
      }
    }

    test('no batch axis, counts, boxes that are not finite', () => {
      const a = boxes([0, 0, 2, 2], [0, 0, 0.5, 1], [0, Number.NaN, 1, 1]);
      const b = boxes([1, 0, 3, 2], [0, 0, 1, 1]);
      const [gradA, gradB] = tf.grads((x: Tensor, y: Tensor) =>
        tf.sum(ops.pairwiseIou(x, y, { bCounts: [1] })),
      )([a, b]) as [Tensor, Tensor];
      const [, ...rest] = gradA.arraySync() as number[][];
      expect(rest.flat()).toEqual(new Array(8).fill(0));
      expect((gradB.arraySync() as number[][])[1]).toEqual([0, 0, 0, 0]);
      // IoU = w / (4 - w), w = x2 - 1 of a: its derivative is 4 * 2 / (8 - 2w)^2 of intersection 2w.
      expect((gradA.arraySync() as number[][])[0]![2]).toBeCloseTo(1 / 3, 6);
    });

    test('both sides may be one tensor', () => {
      const x = boxes([0, 0, 2, 2], [1, 0, 3, 2]);
      const f = (y: Tensor): Tensor => tf.sum(ops.pairwiseIou(y, y));
      const [gradA, gradB] = tf.grads((y: Tensor, z: Tensor) => tf.sum(ops.pairwiseIou(y, z)))([
        x,
        boxes([0, 0, 2, 2], [1, 0, 3, 2]),
      ]) as [Tensor, Tensor];
      expect([...tf.grad(f)(x).dataSync()]).toEqual([...tf.add(gradA, gradB).dataSync()]);
    });

    test('a second derivative is refused, not 0', () => {
      const f = (x: Tensor): Tensor => tf.sum(ops.pairwiseIou(x, [[1, 0, 3, 2]]));
      expect(() => tf.grad((x: Tensor) => tf.sum(tf.grad(f)(x)))(boxes([0, 0, 2, 2]))).toThrow(
        /gradient function not found for PerceptionR1PairwiseIouGrad/,
      );
    });

    test('a matching loss: they flow through the pairs, not through the choice of them', () => {
      const predicted = boxes([0, 0, 2, 2], [5, 5, 7, 8]);
      const truth = boxes([5, 5, 8, 8], [0, 0, 2, 3]);
      const loss = (x: Tensor): Tensor => {
        const overlap = ops.pairwiseIou(x, truth, { kind: 'giou' });
        const column = ops.linearSumAssignment(tf.neg(overlap));
        return tf.neg(tf.sum(tf.mul(overlap, tf.oneHot(column, 2))));
      };
      const gathered = (x: Tensor): Tensor => {
        const overlap = ops.pairwiseIou(x, truth, { kind: 'giou' });
        const order = ops.linearSumAssignment(tf.neg(overlap));
        const rows = tf.gather(truth, order);
        return tf.neg(tf.sum(tf.mul(ops.pairwiseIou(x, rows, { kind: 'giou' }), tf.eye(2))));
      };
      const gradient = tf.grad(loss)(predicted);
      expect(Math.max(...tf.abs(gradient).dataSync())).toBeGreaterThan(0.05);
      expect([...tf.grad(gathered)(predicted).dataSync()]).toEqual([...gradient.dataSync()]);
    });

    test('a policy gradient: rewards of sampled predictions are constants', () => {
      const x = tf.tensor2d([
        [0.5, 0.1, 0.4, 0.2],
        [0.3, 0.6, 0.2, 0.1],
      ]);
      const logits = tf.variable(
        tf.tensor2d([
          [0.5, 0.1, 0.4, 0.2],
          [0.3, 0.6, 0.2, 0.1],
        ]),
      );
      const bound = tf.variable(
        tf.tensor2d([
          [0, 0, 2, 2],
          [0, 0, 2, 3],
        ]),
      );
      const advantages = (choice: Tensor): Tensor => {
        const cell = tf.mul(tf.cast(choice, 'float32'), 10);
        const points = tf.stack([cell, cell], 1).reshape([2, 1, 2]);
        const { rewards } = ops.countingReward({ points, truthPoints: [[[10, 10]], [[0, 0]]] });
        const second = ops.groundingReward({ boxes: bound, truthBoxes: [[0, 0, 2, 2]] }).rewards;
        return ops.groupAdvantages(tf.add(rewards, second), { groupSize: 2 });
      };
      const policy = (): tf.Scalar =>
        tf.neg(
          tf.sum(tf.mul(advantages(tf.argMax(logits, 1)), tf.max(tf.log(tf.softmax(tf.mul(logits, x))), 1))),
        ) as tf.Scalar;
      const { grads } = tf.variableGrads(policy);
      expect(Object.keys(grads)).toContain(logits.name);
      expect(Math.max(...tf.abs(grads[logits.name]!).dataSync())).toBeGreaterThan(0);
      expect(grads[bound.name]).toBeUndefined();
      // What reaches the loss through nothing else is said to have no gradient, in TensorFlow.js's own words.
      expect(() => tf.grad((y: Tensor) => tf.sum(ops.groupAdvantages(y)))(f32([2, 2]))).toThrow(
        /Cannot compute gradient of y=f\(x\) with respect to x/,
      );
      tf.dispose([logits, bound]);
    });
  });

  describe('leaves nothing behind', () => {
    test('every call, in and out of tidy', () => {
      for (const [name, call] of Object.entries(calls)) {
        const before = held();
        tf.tidy(() => void call());
        expect(held(), name).toEqual(before);
        tf.dispose(call());
        if (name !== 'gradient of pairwiseIou') expect(held(), name).toEqual(before); // its input is the caller's
      }
    });

    test('every asynchronous call, and calls that fail', async () => {
      const request = { boxes: [[0, 0, 2, 2]], truthBoxes: [[1, 0, 3, 2]] };
      const before = held();
      tf.dispose(await ops.pairwiseIouAsync([[0, 0, 2, 2]], [[1, 0, 3, 2]], { aCounts: [1] }));
      tf.dispose(await ops.linearSumAssignmentAsync([[4, 1, 3]]));
      tf.dispose(await ops.groupAdvantagesAsync([[4, 1, 3]]));
      tf.dispose(await ops.groundingRewardAsync(request));
      await expect(ops.linearSumAssignmentAsync([[Infinity]])).rejects.toThrow();
      await expect(ops.pairwiseIouAsync([[0, 0, 2, 2]], [[0, 0]])).rejects.toThrow();
      expect(() => ops.linearSumAssignment([[Infinity]])).toThrow();
      expect(() => ops.pairwiseIou([[0, 0, 2, 2]], [[0, 0]])).toThrow();
      expect(held()).toEqual(before);
    });

    test('10,000 calls', () => {
      const run = (): void => {
        for (const call of Object.values(calls)) tf.tidy(() => void call());
      };
      run();
      const before = held();
      for (let i = 0; i < 10_000 / Object.keys(calls).length; i++) run();
      expect(held()).toEqual(before);
    });
  });

  test('inputs stay as they are, and outputs are memory of their own', () => {
    const values = Float32Array.of(0, 0, 2, 2, 1, 0, 3, 2);
    const kept = values.slice();
    const input = tf.tensor2d(values, [2, 4]);
    const first = ops.pairwiseIou(input, input);
    const again = ops.pairwiseIou(input, input);
    (first.dataSync() as Float32Array).fill(7);
    expect(values).toEqual(kept);
    expect([...again.dataSync()]).toEqual([1, Math.fround(1 / 3), Math.fround(1 / 3), 1]);
  });

  test('is a kernel to the profiler', async () => {
    const { kernelNames } = await tf.profile(() => ops.pairwiseIou([[0, 0, 2, 2]], [[1, 0, 3, 2]]));
    expect(kernelNames).toContain('PerceptionR1PairwiseIou');
  });

  test('asynchronous calls let the event loop go on and do not mind that their inputs are disposed', async () => {
    const random = new Generator(3);
    const [batch, n] = [512, 64];
    const costs = tf.tensor3d(
      Float32Array.from({ length: batch * n * n }, () => random.next()),
      [batch, n, n],
    );
    const expected = [...ops.linearSumAssignment(costs).dataSync()];
    const promise = ops.linearSumAssignmentAsync(costs);
    costs.dispose();
    let ticks = 0;
    let running = true;
    const settled = promise.finally(() => {
      running = false;
    });
    while (running) {
      await new Promise((resolve) => setImmediate(resolve));
      ticks++;
    }
    expect([...(await settled).dataSync()]).toEqual(expected);
    expect(ticks).toBeGreaterThan(1);
  });
}
