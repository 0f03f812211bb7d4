/**
 * The CUDA plug-in as the add-on uses it: DeviceTensors, the `device` option, errors. On a GPU that the host plays
 * (native/test/emulated_runtime.cc), which runs the same operations; or on a real one, with PERCEPTION_R1_CUDA naming
 * the plug-in.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { isSooner, type Work, work } from '../src/device/choose.js';
import { measureSpeed, type Speed } from '../src/device/speed.js';
import {
  type AdvantageOptions,
  type Advantages,
  type DeviceOption,
  DeviceTensor,
  editDistanceBatch,
  editDistanceBatchAsync,
  groupAdvantages,
  groupAdvantagesAsync,
  type IouKind,
  info,
  linearSumAssignmentBatch,
  linearSumAssignmentBatchAsync,
  type ObjectsRequest,
  PerceptionError,
  pairwiseDistance,
  pairwiseDistanceAsync,
  pairwiseIou,
  pairwiseIouAsync,
  pairwiseIouBatch,
  pairwiseIouBatchAsync,
  type RecipeName,
  scoreObjects,
  scoreObjectsAsync,
} from '../src/index.js';
import type { Binding, DeviceHandle } from '../src/native/binding.js';
import * as commandLine from './command-line.js';
import { Generator } from './reference/random.js';
import { codeOf, codeOfAsync, turnsDuring } from './support.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const emulated = `${root}build/emulated/native/test/perception_r1_emulated.so`;
const cuda = `${root}build/cmake/Release/perception_r1_cuda.so`;

const named = process.env.PERCEPTION_R1_CUDA;
const plugin = named && existsSync(named) ? named : emulated;
// For what only an emulated GPU can be told to do.
const emulatedTest = test.skipIf(plugin !== emulated);

// The plug-in is looked for once in a process, and vitest gives each file one of its own.
process.env.PERCEPTION_R1_CUDA = plugin;
process.env.PERCEPTION_R1_EMULATED_DEVICES = '2';
const last = info().cuda.devices.length - 1;

const random = new Generator(20);
const f32 = (...values: number[]): Float32Array => Float32Array.from(values);
const i32 = (...values: number[]): Int32Array => Int32Array.from(values);
const floats = (length: number): Float32Array => Float32Array.from({ length }, () => random.next());
const counts = (length: number, most: number): Int32Array =>
  Int32Array.from({ length }, () => random.integer(0, most));
const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const held = (): { count: number; bytes: number } => info().cuda.tensors;

/** Runs `code`, a module that imports the built package as `p`, and returns what it prints as JSON. */
function child(code: string, env: NodeJS.ProcessEnv = {}, flags: string[] = []): unknown {
  const script = `import * as p from ${JSON.stringify(`${root}dist/index.js`)};
    const codeOf = (body) => { try { body(); return 'no error'; } catch (error) { return error.code + ': ' + error.message; } };
    const codeOfAsync = (promise) => promise.then(() => 'no error', (error) => error.code + ': ' + error.message);
    ${code}`;
  const output = execFileSync(process.execPath, [...flags, '--input-type=module', '-e', script], {
    encoding: 'utf8',
    cwd: tmpdir(),
    env: { ...process.env, PERCEPTION_R1_CUDA: plugin, ...env },
  });
  return JSON.parse(output);
}

describe('without a GPU', () => {
  const folder = mkdtempSync(join(tmpdir(), 'perception-r1-cuda-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  const cases: [name: string, setting: string, reason: RegExp][] = [
    ['switched off', '0', /^PERCEPTION_R1_CUDA=0$/],
    ['no such file', '/nowhere/plugin.so', /^PERCEPTION_R1_CUDA: \/nowhere\/plugin\.so was not found$/],
    ['no shared object', `${root}README.md`, /README\.md could not be loaded: /],
    ['no such function', info().addon.path, /could not be loaded: it does not export perception_r1_cuda$/],
  ];
  if (existsSync(emulated)) cases.push(['no devices', emulated, /^no GPU was found$/]);

  test.each(cases)('%s: the reason is told, all runs on the processor', (name, setting, reason) => {
    const result = child(
      `const boxes = new Float32Array([0, 0, 2, 2]);
       const costs = { values: new Float32Array(1), offsets: Int32Array.of(0, 1), rows: Int32Array.of(1), cols: Int32Array.of(1) };
       const objects = { recipe: 'perception-r1/grounding-strict', predictions: { values: boxes, shape: [1, 4] }, truth: { values: boxes, shape: [1, 4] } };
       const device = 'cuda';
       console.log(JSON.stringify({
         cuda: p.info().cuda,
         auto: p.pairwiseIou(boxes, boxes, { device: 'auto' })[0],
         refused: [
           codeOf(() => p.DeviceTensor.from(boxes)),
           codeOf(() => p.pairwiseIou(boxes, boxes, { device })),
           codeOf(() => p.pairwiseDistance(boxes, boxes, { device })),
           codeOf(() => p.linearSumAssignmentBatch(costs, { device })),
           codeOf(() => p.groupAdvantages(boxes, { groupSize: 2, device })),
           codeOf(() => p.editDistanceBatch(['a'], ['b'], { device })),
           codeOf(() => p.scoreObjects({ ...objects, device })),
           await codeOfAsync(p.pairwiseIouAsync(boxes, boxes, { device })),
         ],
       }));`,
      {
        PERCEPTION_R1_CUDA: setting,
        ...(name === 'no devices' && { PERCEPTION_R1_EMULATED_DEVICES: '0' }),
      },
    ) as { cuda: ReturnType<typeof info>['cuda']; auto: number; refused: string[] };
    expect(result.cuda).toMatchObject({
      available: false,
      reason: expect.stringMatching(reason),
      devices: [],
      tensors: { count: 0, bytes: 0 },
    });
    expect(result.auto).toBe(1);
    expect(result.refused.length).toBe(8);
    for (const refused of result.refused) {
      expect(refused).toBe(`DEVICE_UNAVAILABLE: the CUDA backend is not available: ${result.cuda.reason}`);
    }
  });

  test.runIf(existsSync(cuda))('the plug-in itself says what its driver lacks, or finds a GPU', () => {
    const found = child('console.log(JSON.stringify(p.info().cuda));', {
      PERCEPTION_R1_CUDA: cuda,
    }) as ReturnType<typeof info>['cuda'];
    expect(found.plugin).toBe(cuda);
    if (found.available) expect(found.devices.length).toBeGreaterThan(0);
    else expect(found.reason).toMatch(/^no GPU (can be used: |was found)/);
  });

  test.runIf(existsSync(emulated))('a name without a folder is one in the current folder', () => {
    const reason = child(
      `import { copyFileSync } from 'node:fs';
       copyFileSync(${JSON.stringify(emulated)}, ${JSON.stringify(join(folder, 'plugin.so'))});
       process.chdir(${JSON.stringify(folder)});
       console.log(JSON.stringify(p.info().cuda.available));`,
      { PERCEPTION_R1_CUDA: 'plugin.so' },
    );
    expect(reason).toBe(true);
  });
});

describe.runIf(existsSync(plugin))('on a GPU', () => {
  afterEach(async () => {
    delete process.env.PERCEPTION_R1_EMULATED_MEMORY;
    delete process.env.PERCEPTION_R1_EMULATED_LOST;
  });

  emulatedTest('info', () => {
    expect(info().cuda).toMatchObject({
      available: true,
      plugin: emulated,
      description: 'emulated',
      devices: [0, 1].map((index) => ({ index, name: 'emulated device', computeCapability: '9.0' })),
    });
    expect(info().cuda.reason).toBeUndefined();
  });

  emulatedTest('doctor', async () => {
    const env = { PERCEPTION_R1_EMULATED_DEVICES: '2' };
    const { code, stdout } = await commandLine.run(['doctor'], '', env);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^self check +passed$/m);
    const device = 'emulated device (compute capability 9.0, 4 multiprocessors, 1.0 GiB)';
    expect(stdout).toContain(`${device}, ${device}; ${emulated} (emulated)\n`);
    expect(stdout).toContain(`${emulated}\n`);
    const json = await commandLine.run(['doctor', '--json'], '', env);
    expect(JSON.parse(json.stdout)).toMatchObject({
      cuda: { available: true, devices: [{ index: 0 }, { index: 1 }] },
      environment: { PERCEPTION_R1_CUDA: emulated },
    });
    // A GPU that is there and does not work is a problem; one that is not there is none.
    const failing = await commandLine.run(['doctor'], '', { PERCEPTION_R1_EMULATED_MEMORY: '0' });
    expect(failing).toMatchObject({ code: 1, stdout: expect.stringMatching(/not enough GPU memory/) });
    const without = await commandLine.run(['doctor'], '', { PERCEPTION_R1_CUDA: '0' });
    expect(without).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^CUDA +not used: PERCEPTION_R1_CUDA=0$/m),
    });
  });

  describe('DeviceTensor', () => {
    test.each([
      ['float32', f32(1, -2.5, Number.NaN, Infinity, 0, 7)],
      ['float64', Float64Array.of(1, -2.5, Number.NaN, Infinity, 1e300, 7)],
      ['int32', i32(1, -2, 3, 2147483647, -2147483648, 7)],
    ] as const)('%s goes there and back', async (dtype, data) => {
      const given = data.slice();
      const tensor = DeviceTensor.from(given as Float32Array, [2, 3], { device: last });
      given.fill(9); // it was copied
      expect(tensor).toMatchObject({ dtype, shape: [2, 3], size: 6, device: last, disposed: false });
      expect(tensor.byteLength).toBe(data.byteLength);
      expect(tensor.toArray()).toEqual(data);
      expect(await tensor.toArrayAsync()).toEqual(data);
      tensor.dispose();
    });

    test('parts of buffers, nothing at all, any number of axes', () => {
      const whole = floats(10);
      const part = DeviceTensor.from(whole.subarray(3, 7));
      expect(part.shape).toEqual([4]);
      expect(part.toArray()).toEqual(whole.slice(3, 7));
      const empty = DeviceTensor.from(f32(), [3, 0, 4]);
      expect(empty.toArray()).toEqual(f32());
      const scalar = DeviceTensor.from(f32(5), []);
      expect(scalar).toMatchObject({ shape: [], size: 1 });
      for (const tensor of [part, empty, scalar]) tensor.dispose();
    });

    test('refuses bad input', () => {
      const { from } = DeviceTensor;
      expect(codeOf(() => from([1, 2] as never))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => from(new Uint8Array(4) as never))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => from(f32(1, 2), [3]))).toBe('SHAPE_MISMATCH');
      expect(codeOf(() => from(f32(1, 2), [-1, -2]))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => from(f32(1, 2), 2 as never))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => from(f32(1, 2), [2], { device: 2 }))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => from(f32(1, 2), [2], { device: -1 }))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => from(f32(1, 2), [2], { gpu: 1 } as never))).toBe('INVALID_ARGUMENT');
      const gone = f32(1, 2);
      structuredClone(gone.buffer, { transfer: [gone.buffer as ArrayBuffer] });
      expect(codeOf(() => from(gone))).toBe('DETACHED_BUFFER');
      expect(() => from(f32(1, 2), [3])).toThrow(
        'shape: expected one of 2 elements, as many as data has, received [3]',
      );
    });

    test('is accounted for, until it is disposed', async () => {
      const before = held();
      const tensors = [DeviceTensor.from(floats(100)), DeviceTensor.from(floats(28), [7, 4])];
      expect(held()).toEqual({ count: before.count + 2, bytes: before.bytes + 512 });
      tensors[0]!.dispose();
      tensors[0]!.dispose(); // twice is once
      expect(tensors[0]!.disposed).toBe(true);
      expect(held()).toEqual({ count: before.count + 1, bytes: before.bytes + 112 });
      tensors[1]![Symbol.dispose]();
      expect(held()).toEqual(before);
      // The shape is known still, the values are not.
      expect(tensors[1]!.shape).toEqual([7, 4]);
      expect(codeOf(() => tensors[1]!.toArray())).toBe('DISPOSED');
      expect(await codeOfAsync(tensors[1]!.toArrayAsync())).toBe('DISPOSED');
    });

    test('may be disposed while something works with it', async () => {
      const before = held();
      const [data, boxes] = [floats(50_000), random.boxes(400)];
      const expected = pairwiseIou(boxes, boxes);
      const [a, b] = [DeviceTensor.from(data), DeviceTensor.from(boxes, [400, 4])];
      const [read, overlaps] = [a.toArrayAsync(), pairwiseIouAsync(b, b)];
      a.dispose();
      b.dispose();
      expect(a.disposed).toBe(true);
      expect(held().bytes).toBeGreaterThan(before.bytes); // the calls hold it
      expect(await read).toEqual(data);
      const result = await overlaps;
      expect(result.toArray()).toEqual(expected);
      result.dispose();
      await tick();
      expect(held()).toEqual(before);
    });

    test('that is forgotten is freed', () => {
      const left = child(
        `const make = () => {
           for (let i = 0; i < 100; i++) p.DeviceTensor.from(new Float32Array(1000));
           p.groupAdvantages(p.DeviceTensor.from(new Float32Array(1000)), { groupSize: 8 });
         };
         make();
         const full = p.info().cuda.tensors;
         const kept = p.DeviceTensor.from(new Float32Array(10));
         for (let i = 0; i < 20 && p.info().cuda.tensors.count > 1; i++) {
           gc();
           await new Promise((resolve) => setImmediate(resolve));
         }
         console.log(JSON.stringify([full.count, p.info().cuda.tensors, kept.toArray().length]));`,
        {},
        ['--expose-gc'],
      );
      expect(left).toEqual([104, { count: 1, bytes: 40 }, 10]);
    });

    emulatedTest('is large to the garbage collector: forgotten ones do not fill the memory', () => {
      const made = child(
        `const data = new Float32Array(1 << 20);
         let made = 0;
         for (; made < 200; made++) {
           p.DeviceTensor.from(data);
           await new Promise((resolve) => setImmediate(resolve));
         }
         console.log(JSON.stringify(made));`,
        { PERCEPTION_R1_EMULATED_MEMORY: String(400 << 20) },
      );
      expect(made).toBe(200);
    });

    test('in a worker_thread that ends is freed', async () => {
      const before = held();
      const code = `
        const { parentPort, workerData } = require('node:worker_threads');
        import(workerData).then(async (p) => {
          const boxes = new Float32Array([0, 0, 2, 2, 1, 0, 3, 2]);
          const tensor = p.DeviceTensor.from(boxes, [2, 4]);
          const [iou] = [p.pairwiseIou(tensor, tensor).toArray()];
          p.pairwiseIouAsync(tensor, tensor); // still running when the thread is ended, perhaps
          parentPort.postMessage({ iou, count: p.info().cuda.tensors.count });
          setInterval(() => {}, 1000);
        });`;
      const results = await Promise.all(
        Array.from({ length: 3 }, async () => {
          const worker = new Worker(code, { eval: true, workerData: `${root}dist/index.js` });
          const result = await new Promise<{ iou: Float32Array; count: number }>((resolve, reject) =>
            worker.once('message', resolve).once('error', reject),
          );
          await worker.terminate();
          return result;
        }),
      );
      for (const { iou, count } of results) {
        expect(iou).toEqual(f32(1, 1 / 3, 1 / 3, 1));
        expect(count).toBeGreaterThan(before.count);
      }
      for (let i = 0; i < 100 && held().count > before.count; i++) await tick();
      expect(held()).toEqual(before);
    });
  });

  describe('errors', () => {
    const boxes = random.boxes(6);
    const a = DeviceTensor.from(boxes, [6, 4]);

    test('a disposed argument', async () => {
      const gone = DeviceTensor.from(boxes, [6, 4]);
      gone.dispose();
      expect(codeOf(() => pairwiseIou(a, gone))).toBe('DISPOSED');
      expect(await codeOfAsync(pairwiseIouAsync(gone, a))).toBe('DISPOSED');
      expect(codeOf(() => groupAdvantages(gone, { groupSize: 2 }))).toBe('DISPOSED');
      expect(() => pairwiseIou(a, gone)).toThrow('b: expected a DeviceTensor that was not disposed');
    });

    test('DeviceTensors and typed arrays in one call', () => {
      expect(codeOf(() => pairwiseIou(a, boxes as never))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => pairwiseIou(boxes as never, a))).toBe('INVALID_ARGUMENT');
      expect(() => pairwiseIou(boxes as never, a)).toThrow(
        'a: expected a DeviceTensor (arrays of one call are all DeviceTensors or none is), received a Float32Array of 24',
      );
      expect(codeOf(() => pairwiseIou(a, a, { aCounts: i32(2) } as never))).toBe('SHAPE_MISMATCH');
      const batch = DeviceTensor.from(boxes, [2, 3, 4]);
      expect(codeOf(() => pairwiseIou(batch, batch, { aCounts: i32(2, 2) } as never))).toBe(
        'INVALID_ARGUMENT',
      );
      expect(
        codeOf(() =>
          scoreObjects({
            recipe: 'perception-r1/grounding-strict',
            predictions: a,
            truth: { values: boxes, shape: [6, 4] },
          } as never),
        ),
      ).toBe('INVALID_ARGUMENT');
      // Where no DeviceTensor is taken.
      expect(() => pairwiseIouBatch({ values: a, offsets: i32(0, 6) } as never, batch as never)).toThrow(
        'a.values: expected a Float32Array, received a DeviceTensor',
      );
      expect(codeOf(() => pairwiseIou(a, a, { device: 'cpu' } as never))).toBe('INVALID_ARGUMENT');
      batch.dispose();
    });

    emulatedTest('tensors of two devices', async () => {
      const elsewhere = DeviceTensor.from(boxes, [6, 4], { device: 1 });
      expect(codeOf(() => pairwiseIou(a, elsewhere))).toBe('WRONG_DEVICE');
      expect(await codeOfAsync(pairwiseIouAsync(elsewhere, a))).toBe('WRONG_DEVICE');
      expect(() => pairwiseIou(a, elsewhere)).toThrow(
        'b: expected a DeviceTensor on device 0, where a is, received one on device 1',
      );
      const there = pairwiseIou(elsewhere, elsewhere);
      expect(there.device).toBe(1);
      expect(there.toArray()).toEqual(pairwiseIou(boxes, boxes));
      there.dispose();
      elsewhere.dispose();
    });

    test('shapes and types', () => {
      const ints = DeviceTensor.from(i32(0, 0, 1, 1), [1, 4]);
      const doubles = DeviceTensor.from(new Float64Array(4), [1, 4]);
      const three = DeviceTensor.from(floats(6), [2, 3]);
      // Disposed of like all others: what is held is counted, and the garbage collector comes when it likes.
      const short = DeviceTensor.from(i32(1));
      const fractions = DeviceTensor.from(f32(1, 1));
      const batches = [DeviceTensor.from(floats(24), [2, 3, 4]), DeviceTensor.from(floats(12), [1, 3, 4])];
      const [two, one] = batches as [DeviceTensor, DeviceTensor];
      const attempts: [body: () => unknown, code: string, message: string][] = [
        [() => pairwiseIou(ints as never, a), 'INVALID_ARGUMENT', 'a: expected float32, received int32'],
        [() => pairwiseIou(a, doubles as never), 'INVALID_ARGUMENT', 'b: expected float32, received float64'],
        [() => pairwiseIou(three, a), 'SHAPE_MISMATCH', 'a: expected shape [n, 4], received [2, 3]'],
        [() => pairwiseIou(two, a), 'SHAPE_MISMATCH', 'b: expected shape [B, m, 4], received [6, 4]'],
        [
          () => pairwiseIou(two, one),
          'SHAPE_MISMATCH',
          'b: expected shape [B, m, 4] with B = 2 as in a, received [1, 3, 4]',
        ],
        [
          () => pairwiseIou(two, two, { bCounts: short }),
          'SHAPE_MISMATCH',
          'bCounts: expected shape [B] with B = 2 as in a, received [1]',
        ],
        [
          () => pairwiseIou(two, two, { bCounts: fractions as never }),
          'INVALID_ARGUMENT',
          'bCounts: expected int32, received float32',
        ],
        [() => pairwiseIou(a, a, { kind: 'siou' as never }), 'INVALID_ARGUMENT', "kind: expected 'iou'"],
        [() => pairwiseDistance(a, a), 'SHAPE_MISMATCH', 'a: expected shape [n, 2], received [6, 4]'],
        [
          () => linearSumAssignmentBatch(a),
          'SHAPE_MISMATCH',
          'costs: expected shape [B, rows, cols], received [6, 4]',
        ],
        [
          () => linearSumAssignmentBatch(ints as never),
          'INVALID_ARGUMENT',
          'costs: expected float32 or float64, received int32',
        ],
        [
          () => groupAdvantages(doubles as never, { groupSize: 2 }),
          'INVALID_ARGUMENT',
          'rewards: expected float32, received float64',
        ],
        [() => groupAdvantages(a, { groupSize: 5 }), 'SHAPE_MISMATCH', 'groupSize: expected a divisor'],
        [() => groupAdvantages(a, { groupIds: i32(1) }), 'SHAPE_MISMATCH', 'groupIds: expected 24 entries'],
      ];
      for (const [body, code, message] of attempts) {
        expect(codeOf(body)).toBe(code);
        expect(body).toThrow(message);
      }
      for (const tensor of [ints, doubles, three, short, fractions, ...batches]) tensor.dispose();
    });

    emulatedTest('memory that is exhausted, and enough of it again', async () => {
      const before = held();
      process.env.PERCEPTION_R1_EMULATED_MEMORY = '4096';
      expect(codeOf(() => DeviceTensor.from(floats(1100)))).toBe('OUT_OF_MEMORY');
      const tensor = DeviceTensor.from(random.boxes(30), [30, 4]);
      expect(codeOf(() => pairwiseIou(tensor, tensor))).toBe('OUT_OF_MEMORY');
      expect(await codeOfAsync(pairwiseIouAsync(tensor, tensor))).toBe('OUT_OF_MEMORY');
      const host = random.boxes(30);
      expect(codeOf(() => pairwiseIou(host, host, { device: 'cuda' }))).toBe('OUT_OF_MEMORY');
      process.env.PERCEPTION_R1_EMULATED_MEMORY = '1000000';
      const result = pairwiseIou(tensor, tensor);
      expect(result.size).toBe(900);
      result.dispose();
      tensor.dispose();
      await tick();
      expect(held()).toEqual(before);
    });

    emulatedTest('a device that is lost', async () => {
      const tensor = DeviceTensor.from(boxes, [6, 4]);
      process.env.PERCEPTION_R1_EMULATED_LOST = '1';
      expect(codeOf(() => tensor.toArray())).toBe('DEVICE_LOST');
      expect(await codeOfAsync(tensor.toArrayAsync())).toBe('DEVICE_LOST');
      expect(codeOf(() => pairwiseIou(tensor, tensor))).toBe('DEVICE_LOST');
      expect(await codeOfAsync(pairwiseIouAsync(boxes, boxes, { device: 'cuda' }))).toBe('DEVICE_LOST');
      expect(codeOf(() => DeviceTensor.from(boxes))).toBe('DEVICE_LOST');
      expect(info().cuda).toMatchObject({
        available: false,
        reason: expect.stringMatching(/^device 0: the GPU/),
      });
      expect(pairwiseIou(boxes, boxes).length).toBe(36); // the processor is still there
      tensor.dispose(); // no error
    });
  });

  describe('pairwiseIou', () => {
    const kinds: IouKind[] = ['iou', 'giou', 'diou', 'ciou'];
    const [n, m] = [70, 45];
    const [left, right] = [random.boxes(n), random.boxes(m)];

    /** The same bits; but for CIoU's arctangents, which may differ in their last ones. */
    function expectSame(actual: Float32Array, expected: Float32Array, kind: IouKind): void {
      if (kind !== 'ciou') {
        expect(actual).toEqual(expected);
        return;
      }
      expect(actual.length).toBe(expected.length);
      const worst = Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!)));
      expect(worst).toBeLessThan(1e-6);
    }

    test.each(kinds)('%s as on the processor', async (kind) => {
      for (const format of ['xyxy', 'xywh', 'cxcywh'] as const) {
        const expected = pairwiseIou(left, right, { kind, format });
        expectSame(pairwiseIou(left, right, { kind, format, device: 'cuda' }), expected, kind);
        const [a, b] = [DeviceTensor.from(left, [n, 4]), DeviceTensor.from(right, [m, 4])];
        const [queued, waited] = [
          pairwiseIou(a, b, { kind, format }),
          await pairwiseIouAsync(a, b, { kind, format }),
        ];
        for (const result of [queued, waited]) {
          expect(result).toMatchObject({ shape: [n, m], dtype: 'float32' });
          expectSame(result.toArray(), expected, kind);
          result.dispose();
        }
        a.dispose();
        b.dispose();
      }
    });

    test('padded batches with counts; a box that is not finite overlaps with nothing', () => {
      const [batch, rows, cols] = [5, 6, 7];
      const [a, b] = [random.boxes(batch * rows), random.boxes(batch * cols)];
      const [aCounts, bCounts] = [counts(batch, rows), counts(batch, cols)];
      a.set([Number.NaN, 0, 1, 1], 0);
      aCounts[0] = rows;
      const tensors = [
        DeviceTensor.from(a, [batch, rows, 4]),
        DeviceTensor.from(b, [batch, cols, 4]),
      ] as const;
      const result = pairwiseIou(...tensors, {
        kind: 'giou',
        aCounts: DeviceTensor.from(aCounts),
        bCounts: DeviceTensor.from(bCounts),
      });
      expect(result.shape).toEqual([batch, rows, cols]);
      const values = result.toArray();
      a.set([0, 0, 0, 0], 0);
      for (let p = 0; p < batch; p++) {
        const overlaps = pairwiseIou(
          a.subarray(4 * p * rows, 4 * (p + 1) * rows),
          b.subarray(4 * p * cols, 4 * (p + 1) * cols),
          { kind: 'giou' },
        );
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < cols; j++) {
            const beyond = i >= aCounts[p]! || j >= bCounts[p]! || (p === 0 && i === 0);
            expect(values[(p * rows + i) * cols + j]).toBe(beyond ? 0 : overlaps[i * cols + j]);
          }
        }
      }
    });

    test('batches of lists', async () => {
      const ragged = { values: left, offsets: i32(0, 3, 3, 40, 70) };
      const others = { values: right, offsets: i32(0, 5, 9, 9, 45) };
      for (const kind of kinds) {
        const expected = pairwiseIouBatch(ragged, others, { kind });
        const actual = [
          pairwiseIouBatch(ragged, others, { kind, device: 'cuda' }),
          await pairwiseIouBatchAsync(ragged, others, { kind, device: 'cuda' }),
        ];
        for (const { values, ...rest } of actual) {
          expectSame(values, expected.values, kind);
          expect({ values: expected.values, ...rest }).toEqual(expected);
        }
      }
    });

    test('distances', async () => {
      for (const metric of ['l1', 'l2'] as const) {
        const [a, b] = [floats(60), floats(34)];
        const expected = pairwiseDistance(a, b, { metric });
        expect(pairwiseDistance(a, b, { metric, device: 'cuda' })).toEqual(expected);
        expect(await pairwiseDistanceAsync(a, b, { metric, device: 'cuda' })).toEqual(expected);
        const points = [DeviceTensor.from(a, [30, 2]), DeviceTensor.from(b, [17, 2])] as const;
        const result = pairwiseDistance(...points, { metric });
        expect(result.shape).toEqual([30, 17]);
        expect(result.toArray()).toEqual(expected);
        expect((await pairwiseDistanceAsync(...points, { metric })).toArray()).toEqual(expected);
      }
    });

    test('no boxes', () => {
      const [none, some] = [DeviceTensor.from(f32(), [0, 4]), DeviceTensor.from(left, [n, 4])];
      expect(pairwiseIou(none, some)).toMatchObject({ shape: [0, n], size: 0 });
      expect(pairwiseIou(some, none).toArray()).toEqual(f32());
      expect(pairwiseIou(f32(), left, { device: 'cuda' })).toEqual(f32());
      const nothing = { values: f32(), offsets: i32(0) };
      expect(pairwiseIouBatch(nothing, nothing, { device: 'cuda' }).values).toEqual(f32());
    });

    test('out is filled, and belongs to one call at a time', async () => {
      const out = new Float32Array(n * m);
      const promise = pairwiseIouAsync(left, right, { out, device: 'cuda' });
      expect(codeOf(() => pairwiseIou(left, right, { out, device: 'cuda' }))).toBe('OUT_IN_USE');
      expect(await promise).toBe(out);
      expect(out).toEqual(pairwiseIou(left, right));
      expect(pairwiseIou(right, left, { out, device: 'cuda' })).toBe(out);
      expect(out).toEqual(pairwiseIou(right, left));
    });

    test('what happens to the inputs meanwhile does not matter', async () => {
      const changed = left.slice();
      const promise = pairwiseIouAsync(changed, right, { device: 'cuda' });
      changed.fill(0);
      expect(await promise).toEqual(pairwiseIou(left, right));
    });

    test('the event loop goes on meanwhile', async () => {
      const many = DeviceTensor.from(random.boxes(3000), [3000, 4]);
      const { result, turns } = await turnsDuring(() => pairwiseIouAsync(many, many));
      expect(turns).toBeGreaterThan(5);
      result.dispose();
      many.dispose();
    });
  });

  test.each(['cpu', 'cuda', 'auto'] satisfies DeviceOption[])(
    'bad values are refused with device %s',
    (device) => {
      const box = f32(0, 0, 1, 1);
      expect(codeOf(() => pairwiseIou(f32(0, 0, Number.NaN, 1), box, { device }))).toBe('INVALID_VALUE');
      expect(codeOf(() => pairwiseIou(box, f32(0, 0, Infinity, 1), { device }))).toBe('INVALID_VALUE');
      expect(() => pairwiseIou(box, f32(...box, 0, 0, Infinity, 1), { device })).toThrow(/^b.*box 1/);
      expect(codeOf(() => pairwiseDistance(box, f32(0, Number.NaN), { device }))).toBe('INVALID_VALUE');
      const ragged = (values: Float32Array) => ({ values, offsets: i32(0, values.length / 4) });
      expect(codeOf(() => pairwiseIouBatch(ragged(box), ragged(f32(0, 0, Infinity, 1)), { device }))).toBe(
        'INVALID_VALUE',
      );
      const costs = (...values: number[]) => ({
        values: f32(1, ...values),
        offsets: i32(0, 1, 5),
        rows: i32(1, 2),
        cols: i32(1, 2),
      });
      expect(codeOf(() => linearSumAssignmentBatch(costs(1, Number.NaN, 1, 1), { device }))).toBe(
        'INVALID_VALUE',
      );
      expect(codeOf(() => linearSumAssignmentBatch(costs(1, -Infinity, 1, 1), { device }))).toBe(
        'INVALID_VALUE',
      );
      expect(codeOf(() => linearSumAssignmentBatch(costs(Infinity, Infinity, 1, 1), { device }))).toBe(
        'INFEASIBLE',
      );
      expect(() => linearSumAssignmentBatch(costs(Infinity, Infinity, 1, 1), { device })).toThrow(
        /problem 1/,
      );
      expect(
        codeOf(() => linearSumAssignmentBatch({ ...costs(1, 1, 1, 1), rows: i32(1, 3) }, { device })),
      ).toBe('SHAPE_MISMATCH');
      expect(codeOf(() => groupAdvantages(f32(1, Infinity), { groupSize: 2, device }))).toBe('INVALID_VALUE');
      expect(codeOf(() => editDistanceBatch(['a'], ['b', 'c'], { device }))).toBe('SHAPE_MISMATCH');
      const objects: ObjectsRequest = {
        recipe: 'perception-r1/grounding-strict',
        predictions: { values: f32(...box, ...box), shape: [2, 1, 4] },
        truth: { values: f32(0, 0, Number.NaN, 1), shape: [1, 4] },
        device,
      };
      expect(codeOf(() => scoreObjects(objects))).toBe('INVALID_VALUE');
      objects.truth = { values: box, shape: [1, 4] };
      expect(codeOf(() => scoreObjects({ ...objects, predictionCounts: i32(1, 2) }))).toBe('INVALID_VALUE');
    },
  );

  describe('linearSumAssignmentBatch', () => {
    const sizes = [
      [3, 5],
      [0, 4],
      [1, 1],
      [9, 9],
      [20, 7],
      [40, 40],
      [9, 9],
      [3, 0],
    ] as const;
    const rows = Int32Array.from(sizes, ([r]) => r);
    const cols = Int32Array.from(sizes, ([, c]) => c);
    const offsets = new Int32Array(sizes.length + 1);
    sizes.forEach(([r, c], i) => {
      offsets[i + 1] = offsets[i]! + r * c;
    });
    // Many ties, so that equal costs do not come from equal choices by accident.
    const values = Float32Array.from({ length: offsets.at(-1)! }, () => random.integer(0, 9));

    test.each([false, true])('lists, maximize %s', async (maximize) => {
      for (const costs of [values, Float64Array.from(values)]) {
        const batch = { values: costs, offsets, rows, cols };
        const expected = linearSumAssignmentBatch(batch, { maximize });
        expect(linearSumAssignmentBatch(batch, { maximize, device: 'cuda' })).toEqual(expected);
        expect(await linearSumAssignmentBatchAsync(batch, { maximize, device: 'cuda' })).toEqual(expected);
      }
    });

    test.each([false, true])('padded batches, maximize %s', async (maximize) => {
      const [batch, n, m] = [12, 9, 11];
      const data = Float32Array.from({ length: batch * n * m }, () => random.integer(0, 20));
      const [rowCounts, colCounts] = [counts(batch, n), counts(batch, m)];
      for (const costs of [data, Float64Array.from(data)]) {
        const tensor = DeviceTensor.from(costs as Float32Array, [batch, n, m]);
        const options = {
          maximize,
          rowCounts: DeviceTensor.from(rowCounts),
          colCounts: DeviceTensor.from(colCounts),
        };
        const actual = [
          linearSumAssignmentBatch(tensor, options),
          await linearSumAssignmentBatchAsync(tensor, options),
        ];
        for (const { columnOfRow, costs: totals } of actual) {
          expect(columnOfRow).toMatchObject({ dtype: 'int32', shape: [batch, n] });
          expect(totals).toMatchObject({ dtype: 'float64', shape: [batch] });
          const [columns, sums] = [columnOfRow.toArray(), totals.toArray()];
          for (let p = 0; p < batch; p++) {
            const [r, c] = [rowCounts[p]!, colCounts[p]!];
            const part = new Float32Array(r * c);
            for (let i = 0; i < r; i++) {
              part.set(data.subarray((p * n + i) * m, (p * n + i) * m + c), i * c);
            }
            const one = linearSumAssignmentBatch(
              { values: part, offsets: i32(0, r * c), rows: i32(r), cols: i32(c) },
              { maximize },
            );
            const unmatched = new Int32Array(n - r).fill(-1);
            expect(columns.subarray(p * n, (p + 1) * n)).toEqual(i32(...one.columnOfRow, ...unmatched));
            expect(sums[p]).toBe(one.costs[0]);
          }
        }
      }
    });

    test('what is wrong with the costs is told by the result', async () => {
      for (const [bad, code] of [
        [Number.NaN, 'INVALID_VALUE'],
        [Infinity, 'INFEASIBLE'],
      ] as const) {
        const costs = DeviceTensor.from(Float32Array.of(1, 2, 3, 4, bad, bad, 3, 4), [2, 2, 2]);
        const { columnOfRow, costs: totals } = linearSumAssignmentBatch(costs);
        expect(codeOf(() => columnOfRow.toArray())).toBe(code);
        expect(codeOf(() => totals.toArray())).toBe(code);
        expect(await codeOfAsync(totals.toArrayAsync())).toBe(code);
        expect(codeOf(() => columnOfRow.toArray())).toBe(code); // again
        expect(() => columnOfRow.toArray()).toThrow(/problem 1/);
        expect(await codeOfAsync(linearSumAssignmentBatchAsync(costs))).toBe(code);
        expect(costs.toArray().length).toBe(8); // there is nothing wrong with those
      }
      const costs = DeviceTensor.from(new Float32Array(8), [2, 2, 2]);
      const { columnOfRow } = linearSumAssignmentBatch(costs, { rowCounts: DeviceTensor.from(i32(1, 3)) });
      expect(codeOf(() => columnOfRow.toArray())).toBe('INVALID_VALUE');
    });
  });

  describe('groupAdvantages', () => {
    const rewards = floats(96);
    rewards[5] = Number.NaN;
    const groups: AdvantageOptions[] = [
      { groupSize: 8 },
      { groupSize: 96 },
      { groupOffsets: i32(0, 1, 1, 32, 40, 64, 96) },
      { groupOffsets: i32(0, 33, 96) },
      { groupIds: Int32Array.from({ length: 96 }, (_, i) => 7 * (i % 5) - 3) },
    ];

    /** The same bits for groups of up to 32; else the sums are in another order. */
    function expectSame(actual: Advantages, expected: Advantages, options: AdvantageOptions): void {
      const offsets = options.groupOffsets ?? i32(0, options.groupSize ?? 0);
      const largest = Math.max(...offsets.subarray(1).map((end, i) => end - offsets[i]!));
      if (largest <= 32 && options.scale !== 'batch') {
        expect(actual).toEqual(expected);
        return;
      }
      for (const name of ['advantages', 'mean', 'std'] as const) {
        expect(actual[name].length).toBe(expected[name].length);
        actual[name].forEach((value, i) => {
          const wanted = expected[name][i]!;
          expect(Object.is(value, wanted) || Math.abs(value - wanted) < 1e-6, `${name}[${i}]`).toBe(true);
        });
      }
    }

    test.each(groups)('%j', async (options) => {
      for (const formula of [
        {},
        { scale: 'batch' },
        { scale: 'none', baseline: 'leave-one-out' },
        { ddof: 0, epsilon: 0, clip: [-1, 1] },
      ] satisfies AdvantageOptions[]) {
        const o = { ...options, ...formula };
        const expected = groupAdvantages(rewards, o);
        expectSame(groupAdvantages(rewards, { ...o, device: 'cuda' }), expected, o);
        expectSame(await groupAdvantagesAsync(rewards, { ...o, device: 'cuda' }), expected, o);
        const tensor = DeviceTensor.from(rewards, [12, 8]);
        for (const result of [groupAdvantages(tensor, o), await groupAdvantagesAsync(tensor, o)]) {
          expect(result.advantages.shape).toEqual([12, 8]);
          const { advantages, mean, std } = result;
          const read = { advantages: advantages.toArray(), mean: mean.toArray(), std: std.toArray() };
          expectSame(read, expected, o);
        }
      }
    });

    test('a large group agrees to 1e-6', () => {
      const many = floats(100_000);
      const expected = groupAdvantages(many, { groupSize: 100_000 });
      const actual = groupAdvantages(many, { groupSize: 100_000, device: 'cuda' });
      const worst = actual.advantages.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - expected.advantages[i]!)),
        0,
      );
      expect(worst).toBeLessThan(1e-6);
      expect(actual.mean[0]).toBeCloseTo(expected.mean[0]!, 6);
    });

    test('what is wrong with rewards is wrong with all that was made from them', async () => {
      const costs = DeviceTensor.from(f32(Infinity), [1, 1, 1]);
      const { costs: totals } = linearSumAssignmentBatch(costs);
      expect(codeOf(() => totals.toArray())).toBe('INFEASIBLE');
      const bad = DeviceTensor.from(f32(1, Infinity, 0, 1));
      const { advantages } = groupAdvantages(bad, { groupSize: 2 });
      const { mean } = groupAdvantages(advantages, { groupSize: 2 });
      expect(codeOf(() => mean.toArray())).toBe('INVALID_VALUE');
      expect(await codeOfAsync(groupAdvantagesAsync(advantages, { groupSize: 2 }))).toBe('INVALID_VALUE');
      expect(bad.toArray()).toEqual(f32(1, Infinity, 0, 1));
    });
  });

  test('editDistanceBatch', async () => {
    const text = (length: number, letters: string): string =>
      Array.from({ length }, () => [...letters][random.integer(0, [...letters].length - 1)]).join('');
    const lengths = [0, 0, 1, 5, 20, 63, 64, 65, 100, 129, 700];
    const pairs = lengths.flatMap((n) =>
      lengths.map((m) => [text(n, 'abcé😀'), text(m, 'abcdß😀')] as const),
    );
    const [a, b] = [pairs.map(([first]) => first), pairs.map(([, second]) => second)];
    a.push('same', 'kitten', '\ud800');
    b.push('same', 'sitting', '\udc00x');
    const expected = editDistanceBatch(a, b);
    expect(editDistanceBatch(a, b, { device: 'cuda' })).toEqual(expected);
    expect(await editDistanceBatchAsync(a, b, { device: 'cuda' })).toEqual(expected);
    expect(editDistanceBatch([], [], { device: 'cuda' })).toEqual(i32());
  });

  describe('scoreObjects', () => {
    const [answers, prompts, rows, truthRows] = [24, 6, 5, 4];
    const values = random.boxes(answers * rows);
    const truth = random.boxes(prompts * truthRows);
    // Some answers are nearly right.
    for (let i = 0; i < answers; i++) {
      const prompt = Math.floor((i * prompts) / answers);
      for (let k = 0; k < truthRows; k++) {
        if (random.next() < 0.5) continue;
        const box = truth.subarray(4 * (prompt * truthRows + k), 4 * (prompt * truthRows + k) + 4);
        values.set(
          box.map((x) => x + random.next()),
          4 * (i * rows + k),
        );
      }
    }
    values[0] = Number.NaN;
    const labels = {
      predictionLabels: Int32Array.from({ length: answers * rows }, () => random.integer(-1, 2)),
      truthLabels: Int32Array.from({ length: prompts * truthRows }, () => random.integer(0, 2)),
    };
    const lists = { predictionCounts: counts(answers, rows), truthCounts: counts(prompts, truthRows) };
    const points = (n: number) => Float32Array.from({ length: 2 * n }, () => random.integer(0, 1000));
    const boxes = {
      predictions: { values, shape: [answers, rows, 4] },
      truth: { values: truth, shape: [prompts, truthRows, 4] },
    };
    const requests: ObjectsRequest[] = [
      ...(['detection', 'detection-strict', 'detection-no-penalty'] as const).flatMap((name) => {
        const recipe: RecipeName = `perception-r1/${name}`;
        return [
          { recipe, ...boxes, ...labels },
          { recipe, ...boxes, ...labels, ...lists },
        ];
      }),
      {
        recipe: 'perception-r1/grounding-strict',
        predictions: { values: random.boxes(answers), shape: [answers, 4] },
        truth: { values: random.boxes(prompts), shape: [prompts, 4] },
      },
      {
        recipe: 'perception-r1/grounding',
        predictions: boxes.predictions,
        predictionCounts: lists.predictionCounts,
        truth: { values: random.boxes(prompts), shape: [prompts, 1, 4] },
      },
      {
        recipe: 'perception-r1/counting-strict',
        predictions: { values: points(answers * rows), shape: [answers, rows, 2] },
        truth: { values: points(prompts * truthRows), shape: [prompts, truthRows, 2] },
        ...lists,
        advantages: { scale: 'none' },
      },
      ...(['greedy', 'in-order'] as const).flatMap((method): ObjectsRequest[] => [
        {
          recipe: {
            extends: 'perception-r1/detection-strict',
            matcher: { l1: 5, giou: 2, class: 1, minIou: 0.05, method },
          },
          ...boxes,
          ...labels,
          ...lists,
        },
        {
          recipe: { extends: 'perception-r1/counting-strict', matcher: { method } },
          predictions: { values: points(answers * rows), shape: [answers, rows, 2] },
          truth: { values: points(prompts * truthRows), shape: [prompts, truthRows, 2] },
        },
      ]),
      {
        recipe: 'perception-r1/counting',
        predictions: { values: f32(), shape: [0, 3, 2] },
        truth: { values: f32(), shape: [0, 2, 2] },
      },
    ];

    const tensorsOf = (request: ObjectsRequest) => {
      const { recipe, predictions, truth: truths, advantages } = request;
      const [count, n] = predictions.shape as [number, number];
      const [total, m] = truths.shape as [number, number];
      const ints = (data: Int32Array | undefined, shape: number[]) =>
        data && DeviceTensor.from(data, shape, { device: last });
      const given = {
        predictionLabels: ints(request.predictionLabels, [count, n]),
        predictionCounts: ints(request.predictionCounts, [count]),
        truthLabels: ints(request.truthLabels, [total, m]),
        truthCounts: ints(request.truthCounts, [total]),
      };
      return {
        recipe,
        predictions: DeviceTensor.from(predictions.values, predictions.shape, { device: last }),
        truth: DeviceTensor.from(truths.values, truths.shape, { device: last }),
        ...(advantages && { advantages }),
        ...(Object.fromEntries(Object.entries(given).filter(([, tensor]) => tensor)) as {
          [name in keyof typeof given]?: DeviceTensor<Int32Array>;
        }),
      };
    };

    test.each(requests.map((request) => [request.recipe, request] as const))('%j', async (_, request) => {
      const expected = scoreObjects(request);
      expect(await scoreObjectsAsync(request)).toEqual(expected);
      expect(scoreObjects({ ...request, device: 'cuda' })).toEqual(expected);
      expect(await scoreObjectsAsync({ ...request, device: 'cuda' })).toEqual(expected);
      const tensors = tensorsOf(request);
      for (const result of [scoreObjects(tensors), await scoreObjectsAsync(tensors)]) {
        expect(result.rewards).toMatchObject({ device: last, shape: [expected.rewards.length] });
        const { terms, ...rest } = result;
        const read = (all: Record<string, DeviceTensor>) =>
          Object.fromEntries(Object.entries(all).map(([name, tensor]) => [name, tensor.toArray()]));
        expect({ ...read(rest), terms: read(terms) }).toEqual(expected);
      }
    });

    test('the groups of the advantages are the answers to one ground truth', () => {
      for (const request of requests.slice(0, -1)) {
        const { rewards, advantages, mean, std } = scoreObjects(request);
        const groupSize = answers / prompts;
        expect({ advantages, mean, std }).toEqual(
          groupAdvantages(rewards, { groupSize, ...request.advantages }),
        );
      }
    });

    test('is what the example in its comment says', () => {
      const { terms } = scoreObjects({
        recipe: 'perception-r1/grounding-strict',
        predictions: { values: f32(0, 0, 2, 2, 1, 0, 3, 2), shape: [2, 4] },
        truth: { values: f32(1, 0, 3, 2), shape: [1, 4] },
      });
      expect(terms.iou).toEqual(f32(1 / 3, 1));
    });

    test('refuses bad input', async () => {
      const good = requests[1]!;
      const attempts: [change: object, code: string, message: string][] = [
        [{ recipe: 'perception-r1/ocr' }, 'INVALID_RECIPE', 'recipe: expected one over boxes or points'],
        [{ recipe: 'nothing' }, 'INVALID_RECIPE', 'recipe: expected one of'],
        [{ predictions: values }, 'INVALID_ARGUMENT', 'predictions.values: expected a Float32Array'],
        [{ predictions: null }, 'INVALID_ARGUMENT', 'predictions: expected {values, shape}, received null'],
        [
          { predictions: { values, shape: [answers * rows, 4] } },
          'SHAPE_MISMATCH',
          'predictions.shape: expected [n, rows, 4], received [120, 4]',
        ],
        [
          { predictions: { values } },
          'SHAPE_MISMATCH',
          'predictions.shape: expected [n, rows, 4], received undefined',
        ],
        [
          { predictions: { values, shape: [answers, rows + 1, 4] } },
          'SHAPE_MISMATCH',
          'predictions.values: expected 576 values',
        ],
        [
          { predictions: { values, shape: [-1, -120, 4] } },
          'INVALID_ARGUMENT',
          'predictions.shape[0]: expected',
        ],
        [{ predictionLabels: undefined }, 'INVALID_ARGUMENT', 'predictionLabels: expected a Int32Array'],
        [{ truthLabels: i32(1) }, 'SHAPE_MISMATCH', 'truthLabels: expected 24 entries'],
        [{ truthCounts: i32(1) }, 'SHAPE_MISMATCH', 'truthCounts: expected 6 entries'],
        [{ truthCounts: i32(1, 2, 3, 4, 5, 6) }, 'INVALID_VALUE', 'counts'],
        [{ predictionCounts: lists.predictionCounts.map(() => -1) }, 'INVALID_VALUE', 'counts'],
        [
          { truth: { values: f32(), shape: [0, 4, 4] }, truthLabels: i32(), truthCounts: i32() },
          'SHAPE_MISMATCH',
          'predictions: expected a multiple of 0 entries',
        ],
        [{ advantages: { groupSize: 2 } }, 'INVALID_ARGUMENT', 'advantages.groupSize: unknown option'],
        [{ groupSize: 2 }, 'INVALID_ARGUMENT', 'request.groupSize: unknown option'],
        [
          { recipe: 'perception-r1/grounding' },
          'INVALID_ARGUMENT',
          'predictionLabels: expected none with a recipe for grounding',
        ],
        [
          { device: 'gpu' },
          'INVALID_ARGUMENT',
          "device: expected 'cpu' or 'cuda' or 'auto', received \"gpu\"",
        ],
      ];
      for (const device of ['cpu', 'cuda']) {
        for (const [change, code, message] of attempts) {
          const request = { ...good, device, ...change } as ObjectsRequest;
          expect(
            codeOf(() => scoreObjects(request)),
            message,
          ).toBe(code);
          expect(() => scoreObjects(request)).toThrow(message);
          expect(await codeOfAsync(scoreObjectsAsync(request))).toBe(code);
        }
      }
    });

    test('what kernels find is told when a result is read', async () => {
      const tensors = tensorsOf(requests[1]!);
      const truthCounts = DeviceTensor.from(i32(0, 0, 0, 0, 0, 5), [6], { device: last });
      const bad = scoreObjects({ ...tensors, truthCounts });
      for (const tensor of [bad.rewards, bad.advantages, bad.mean, bad.std, ...Object.values(bad.terms)]) {
        expect(codeOf(() => tensor.toArray())).toBe('INVALID_VALUE');
      }
      expect(await codeOfAsync(scoreObjectsAsync({ ...tensors, truthCounts }))).toBe('INVALID_VALUE');
      const notFinite = scoreObjects({
        ...tensors,
        truth: DeviceTensor.from(
          truth.map(() => Number.NaN),
          [prompts, truthRows, 4],
          { device: last },
        ),
        truthCounts: DeviceTensor.from(i32(1, 1, 1, 1, 1, 1), [6], { device: last }),
      });
      expect(codeOf(() => notFinite.advantages.toArray())).toBe('INVALID_VALUE');
    });
  });

  describe("device: 'auto'", () => {
    const [n, m] = [Int32Array, Int32Array].map((array) => new array(50_000).fill(10)) as [
      Int32Array,
      Int32Array,
    ];

    test('chooses by size, speed and threads', () => {
      const speed = { call: 60_000, bytesPerNanosecond: 10, slowdown: 15, groups: 1000, pace: 1 };
      const sooner = (cost: Work, change: Partial<Speed> = {}, threads = 1): boolean =>
        isSooner(cost, { ...speed, ...change }, threads);
      const pairs = work.iou(3, 2000, 1e6);
      expect(sooner(pairs)).toBe(true);
      expect(sooner(work.iou(3, 20, 100))).toBe(false);
      expect(sooner(work.distance(0, 2000, 1e6))).toBe(true);
      expect(sooner(work.advantages(1e6, 1e5))).toBe(true);
      expect(sooner(work.advantages(1000, 100))).toBe(false);
      expect(sooner(work.assignment(n, m, 4e6))).toBe(true);
      expect(sooner(work.assignment(n.subarray(0, 1), m, 4))).toBe(false);
      const wide = i32(...Array.from({ length: 5000 }, () => 301));
      expect(sooner(work.assignment(wide, wide, 4))).toBe(false);
      const texts = Int32Array.from({ length: 20_001 }, (_, i) => 400 * i);
      expect(sooner(work.editDistance(texts, texts))).toBe(true);
      expect(sooner(work.editDistance(i32(0, 4000), i32(0, 4000)))).toBe(false);
      expect(sooner(work.objects(20_000, 20, 20, 1e7))).toBe(true);
      expect(sooner(work.objects(8, 20, 20, 1e4))).toBe(false);

      expect(sooner(pairs, {}, 1000)).toBe(false);
      expect(sooner(pairs, { call: 2e6 })).toBe(false);
      expect(sooner(pairs, { bytesPerNanosecond: 1 })).toBe(false);
      expect(sooner(pairs, { pace: 0.1 })).toBe(false);
      expect(sooner(work.assignment(n, m, 4e6), { slowdown: 1500 })).toBe(false);
      expect(sooner(work.assignment(n, m, 4e6), { groups: 10 })).toBe(false);
    });

    test('measures this machine', () => {
      const speed = measureSpeed(() => 1000)!;
      expect(speed.call).toBeGreaterThan(0);
      expect(speed.bytesPerNanosecond).toBeGreaterThan(0);
      expect(speed.slowdown).toBeGreaterThanOrEqual(1);
      expect(speed.groups).toBe(8 * info().cuda.devices[0]!.multiprocessors);
      expect(measureSpeed(() => 100)!.pace).toBeGreaterThan(3 * speed.pace);
    });

    emulatedTest('is the processor where the GPU cannot even be measured', () => {
      process.env.PERCEPTION_R1_EMULATED_MEMORY = '0';
      expect(measureSpeed(() => 1000)).toBeUndefined();
    });

    emulatedTest('does not load the plug-in for what is small, and is the processor by default', () => {
      const mapped = (code: string): unknown =>
        child(
          `import { readFileSync } from 'node:fs';
           const boxes = new Float32Array(4 * 3000);
           ${code}
           console.log(JSON.stringify(readFileSync('/proc/self/maps', 'utf8').includes('perception_r1_emulated')));`,
          { PERCEPTION_R1_THREADS: '1' },
        );
      if (process.platform !== 'linux') return;
      expect(mapped(`p.pairwiseIou(boxes, boxes, { kind: 'ciou' });`)).toBe(false);
      expect(mapped(`p.pairwiseIou(boxes.subarray(0, 40), boxes.subarray(0, 40), { device: 'auto' });`)).toBe(
        false,
      );
      expect(mapped(`p.pairwiseIou(boxes, boxes, { kind: 'ciou', device: 'auto' });`)).toBe(true);
    });

    test('is one of three', () => {
      expect(codeOf(() => pairwiseIou(f32(), f32(), { device: 'gpu' as never }))).toBe('INVALID_ARGUMENT');
      expect(codeOf(() => editDistanceBatch([], [], { gpu: true } as never))).toBe('INVALID_ARGUMENT');
    });
  });

  describe('the add-on checks what TypeScript would have refused', () => {
    const addon = createRequire(import.meta.url)(info().addon.path) as Binding;
    const attempt = (body: () => unknown): string => {
      try {
        body();
      } catch (error) {
        if (error instanceof PerceptionError) throw error;
        return (error as { code: string }).code;
      }
      return 'no error';
    };
    const memory = (floatsOf: number, device = 0): DeviceHandle =>
      addon.cudaUpload(new Uint8Array(4 * floatsOf), device);
    const formula = { scale: 0, baseline: 0, epsilon: 0, ddof: 1, clipLow: -Infinity, clipHigh: Infinity };
    const iou = (
      a: unknown,
      aCounts: unknown,
      b: unknown,
      batch: number,
      n: number,
      m: number,
      out?: unknown,
    ) =>
      attempt(() =>
        addon.cudaPairwiseIou(
          0,
          a as DeviceHandle,
          aCounts as DeviceHandle,
          b as DeviceHandle,
          undefined,
          batch,
          n,
          m,
          0,
          0,
          out as Float32Array,
          false,
        ),
      );

    emulatedTest('handles', () => {
      const released = memory(4);
      addon.cudaRelease(released);
      addon.cudaRelease(released);
      for (const handle of [released, {}, null, 7, undefined, new Date(), addon.pairwiseIou]) {
        expect(iou(handle, undefined, memory(4), 1, 1, 1)).toBe('INVALID_ARGUMENT');
        expect(attempt(() => addon.cudaDownload(handle as never, new Uint8Array(4), false))).toBe(
          'INVALID_ARGUMENT',
        );
      }
      expect(iou(memory(4, 1), undefined, memory(4), 1, 1, 1)).toBe('INVALID_ARGUMENT'); // of another device
      expect(attempt(() => addon.cudaUpload(new Uint8Array(4), 2))).toBe('INVALID_ARGUMENT');
      expect(attempt(() => addon.cudaUpload(f32(1) as never, 0))).toBe('INVALID_ARGUMENT');
    });

    test('sizes', () => {
      expect(iou(memory(4), undefined, memory(4), 1, 1, 1)).toBe('no error');
      expect(iou(memory(4), undefined, memory(4), 1, 2, 1)).toBe('SHAPE_MISMATCH');
      expect(iou(memory(4), undefined, memory(4), 1, 1, 2)).toBe('SHAPE_MISMATCH');
      expect(iou(memory(8), undefined, memory(8), 2, 1, 1)).toBe('no error');
      expect(iou(memory(8), memory(1), memory(8), 2, 1, 1)).toBe('SHAPE_MISMATCH');
      expect(iou(f32(0, 0, 1, 1), undefined, f32(0, 0, 1, 1), 1, 1, 1, f32())).toBe('SHAPE_MISMATCH');
      expect(iou(f32(0, 0, 1, 1), i32(2), f32(0, 0, 1, 1), 1, 1, 1, f32(0))).toBe('INVALID_VALUE');
      expect(iou(memory(0), undefined, memory(0), 0, 2147483647, 2147483647)).toBe('no error');
      expect(iou(memory(0), undefined, memory(0), 2147483647, 0, 0)).toBe('no error');
      expect(attempt(() => addon.cudaPairwiseDistance(0, memory(3), memory(2), 0, undefined, false))).toBe(
        'SHAPE_MISMATCH',
      );
      expect(attempt(() => addon.cudaDownload(memory(4), new Uint8Array(15), false))).toBe('SHAPE_MISMATCH');
      const assign = (costs: DeviceHandle, batch: number, rows: number, cols: number) =>
        attempt(() =>
          addon.cudaLinearSumAssignmentPadded(
            0,
            costs,
            false,
            batch,
            rows,
            cols,
            undefined,
            undefined,
            false,
            undefined,
            undefined,
            false,
          ),
        );
      expect(assign(memory(8), 2, 2, 2)).toBe('no error');
      expect(assign(memory(7), 2, 2, 2)).toBe('SHAPE_MISMATCH');
      const advantages = (groups: Int32Array, byId: boolean, count: number) =>
        attempt(() =>
          addon.cudaGroupAdvantages(
            0,
            memory(4),
            groups,
            byId,
            count,
            formula,
            undefined,
            undefined,
            undefined,
            false,
          ),
        );
      expect(advantages(i32(0, 4), false, 1)).toBe('no error');
      expect(advantages(i32(0, 9), false, 1)).toBe('INVALID_OFFSETS');
      expect(advantages(i32(0, 3, 2, 4), false, 3)).toBe('INVALID_OFFSETS');
      expect(advantages(i32(0, 1, 2, 3), true, 3)).toBe('INVALID_VALUE');
      expect(advantages(i32(0, -1, 0, 0), true, 3)).toBe('INVALID_VALUE');
      expect(advantages(i32(0, 1), true, 3)).toBe('SHAPE_MISMATCH');
      const ragged = (aOffsets: Int32Array, bOffsets: Int32Array) =>
        attempt(() =>
          addon.cudaPairwiseIouBatch(0, memory(8), aOffsets, memory(8), bOffsets, 0, 0, undefined, false),
        );
      expect(ragged(i32(0, 2), i32(0, 2))).toBe('no error');
      expect(ragged(i32(0, 3), i32(0, 2))).toBe('INVALID_OFFSETS');
      expect(ragged(i32(0, 1, 2), i32(0, 2))).toBe('SHAPE_MISMATCH');
      const lists = (offsets: Int32Array, rows: Int32Array, cols: Int32Array) =>
        attempt(() =>
          addon.cudaLinearSumAssignmentBatch(
            0,
            memory(4),
            false,
            offsets,
            rows,
            cols,
            false,
            undefined,
            undefined,
            false,
          ),
        );
      expect(lists(i32(0, 4), i32(2), i32(2))).toBe('no error');
      expect(lists(i32(0, 4), i32(2), i32(3))).toBe('SHAPE_MISMATCH');
      expect(lists(i32(0, 4), i32(-2), i32(-2))).toBe('SHAPE_MISMATCH');
      expect(lists(i32(0, 5), i32(1), i32(5))).toBe('INVALID_OFFSETS');
      expect(attempt(() => addon.cudaScoreObjects(0, {} as never, false))).toBe('INVALID_ARGUMENT');
    });
  });
});
