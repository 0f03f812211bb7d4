import { createRequire } from 'node:module';
import * as tf from '@tensorflow/tfjs-core';
import { invalid, PerceptionError } from '../errors.js';

/** From the fastest on. */
export const backends = ['tensorflow', 'wasm', 'cpu'] as const;
export type BackendName = (typeof backends)[number];

const packages: Readonly<Record<BackendName, readonly string[]>> = {
  tensorflow: ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'],
  wasm: ['@tensorflow/tfjs-backend-wasm'],
  cpu: ['@tensorflow/tfjs'],
};

/** The backend in use, and why none of the faster ones is. */
export interface ChosenBackend {
  name: BackendName;
  /** The package that brought it. */
  package: string;
  reasons: string[];
}

/**
 * Loads a TensorFlow.js backend and makes it the one in use: the fastest that is installed, or the one asked for.
 * @throws PerceptionError NATIVE_UNAVAILABLE with the reason of each that could not be loaded
 */
export async function useBackend(name: BackendName | 'auto' = 'auto'): Promise<ChosenBackend> {
  if (name !== 'auto' && !backends.includes(name)) {
    throw invalid('INVALID_ARGUMENT', 'backend', `auto, ${backends.join(', ')}`, name);
  }
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '2'; // TensorFlow's remarks about the processor are no news
  const require = createRequire(import.meta.url);
  const reasons: string[] = [];
  for (const backend of name === 'auto' ? backends : [name]) {
    for (const from of packages[backend]) {
      try {
        if (backend !== 'tensorflow') require('@tensorflow/tfjs'); // brings the gradients
        require(from);
        if (!(await tf.setBackend(backend))) throw new Error(`it did not start`);
        if (backend === 'wasm') completeWasm();
        return { name: backend, package: from, reasons };
      } catch (error) {
        reasons.push(`${from}: ${(error as Error).message.split('\n')[0]}`);
      }
    }
  }
  throw new PerceptionError(
    'NATIVE_UNAVAILABLE',
    `no TensorFlow.js backend could be loaded: ${reasons.join('; ')}. Run "npx perception-r1 setup-tfjs", or "npm install @tensorflow/tfjs @tensorflow/tfjs-backend-wasm"`,
  );
}

/**
 * Gives the wasm backend the kernel that the gradient of a convolution needs and that it lacks: a product of the shifted
 * images with the gradient, for each place of the filter.
 */
function completeWasm(): void {
  const kernelName = 'Conv2DBackpropFilter';
  if (tf.getKernel(kernelName, 'wasm')) return;
  tf.registerKernel({
    kernelName,
    backendName: 'wasm',
    kernelFunc: ({ inputs, attrs, backend }) => {
      const { x, dy } = inputs as Record<string, tf.TensorInfo>;
      const { strides, pad, filterShape, dimRoundingMode } = attrs as unknown as tf.Conv2DBackpropFilterAttrs;
      const info = tf.backend_util.computeConv2DInfo(
        x!.shape as [number, number, number, number],
        filterShape,
        strides,
        1,
        pad,
        dimRoundingMode,
      );
      const made: tf.TensorInfo[] = [];
      const run = (name: string, from: Record<string, tf.TensorInfo>, attributes: object): tf.TensorInfo => {
        const { kernelFunc } = tf.getKernel(name, 'wasm')!;
        const out = kernelFunc({ inputs: from, attrs: attributes as tf.NamedAttrMap, backend });
        made.push(out as tf.TensorInfo);
        return out as tf.TensorInfo;
      };
      const { top, bottom, left, right } = info.padInfo;
      const paddings = [
        [0, 0],
        [top, bottom],
        [left, right],
        [0, 0],
      ];
      const padded = run('PadV2', { x: x! }, { paddings, constantValue: 0 });
      const rows = info.batchSize * info.outHeight * info.outWidth;
      const gradient = run('Reshape', { x: dy! }, { shape: [1, rows, info.outChannels] });
      const places: tf.TensorInfo[] = [];
      for (let i = 0; i < info.filterHeight; i++) {
        for (let j = 0; j < info.filterWidth; j++) {
          const last = (from: number, count: number, stride: number): number =>
            from + (count - 1) * stride + 1;
          const shifted = run(
            'StridedSlice',
            { x: padded },
            {
              begin: [0, i, j, 0],
              end: [
                info.batchSize,
                last(i, info.outHeight, info.strideHeight),
                last(j, info.outWidth, info.strideWidth),
                info.inChannels,
              ],
              strides: [1, info.strideHeight, info.strideWidth, 1],
              beginMask: 0,
              endMask: 0,
              ellipsisMask: 0,
              newAxisMask: 0,
              shrinkAxisMask: 0,
            },
          );
          const a = run('Reshape', { x: shifted }, { shape: [1, rows, info.inChannels] });
          places.push(run('BatchMatMul', { a, b: gradient }, { transposeA: true, transposeB: false }));
        }
      }
      const all = run('Concat', places as unknown as Record<string, tf.TensorInfo>, { axis: 0 });
      const out = run('Reshape', { x: all }, { shape: filterShape });
      made.pop();
      for (const { dataId } of made) (backend as tf.KernelBackend).disposeData(dataId as object);
      return out;
    },
  });
}
