import type { KernelBackend, NamedAttrMap, NamedTensorMap, Tensor, TensorInfo } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import { type ErrorCode, PerceptionError } from '../errors.js';
import { type Call, runAsync, runSync } from '../native/load.js';
import { TensorArguments } from './arguments.js';
import { type TensorflowBackend, tensorflowOps } from './route.js';

/** A tensor's values on the host. Not to be written to: backends hand out their own memory. */
export interface HostTensor {
  values: Float32Array | Int32Array;
  shape: readonly number[];
}

export type Inputs<T> = Readonly<Record<string, T>>;

/** One operation as a TensorFlow.js kernel; also the name of the TensorFlow op. */
export interface Kernel<Attributes extends object> {
  readonly name: string;
  /** The operation by the add-on, on host memory. `finish` gives the outputs. */
  call(inputs: Inputs<HostTensor>, attributes: Attributes): Call<void, HostTensor[]>;
  /** The operation as a TensorFlow op. Gives the same outputs. */
  execute(tensorflow: Tensorflow, inputs: Inputs<TensorInfo>, attributes: Attributes): TensorInfo[];
}

/** The values where they are of that type; backends should see to it, but custom ones may not. */
export function floats({ values }: HostTensor): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values);
}

export function ints({ values }: HostTensor): Int32Array {
  return values instanceof Int32Array ? values : Int32Array.from(values);
}

/** Runs TensorFlow ops and disposes what lies between them. */
export class Tensorflow {
  readonly #backend: TensorflowBackend;
  readonly #temporary: Tensor[] = [];

  constructor(backend: TensorflowBackend) {
    this.#backend = backend;
  }

  op(
    name: string,
    inputs: readonly TensorInfo[],
    attributes: Readonly<Record<string, number | boolean>>,
    outputs: number,
  ): Tensor[] {
    const { binding } = this.#backend;
    const list = Object.entries(attributes).map(([key, value]) => ({
      name: key,
      type: typeof value === 'boolean' ? binding.TF_ATTR_BOOL : binding.TF_ATTR_INT,
      value,
    }));
    try {
      return this.#backend.executeMultipleOutputs(name, list, inputs, outputs);
    } catch (error) {
      throw translated(error);
    }
  }

  /** `x` in another shape of as many elements; `x` itself where it has that shape. */
  reshape(x: TensorInfo, shape: readonly number[]): TensorInfo {
    if (tf.util.arraysEqual(x.shape, shape as number[])) return x;
    return this.temporary(runKernel<Tensor>('Reshape', { x }, { shape: [...shape] }));
  }

  /** The slices of `value` along its first axis. */
  unstack(value: Tensor): Tensor[] {
    return runKernel<Tensor[]>('Unpack', { value: this.temporary(value) }, { axis: 0 });
  }

  temporary<T extends Tensor>(tensor: T): T {
    this.#temporary.push(tensor);
    return tensor;
  }

  /** Disposes what is not among `outputs`. */
  dispose(outputs: readonly TensorInfo[]): void {
    for (const tensor of this.#temporary) if (!outputs.includes(tensor)) tensor.dispose();
  }
}

// Codes that the ops of this package put before their messages.
const opCodes: readonly ErrorCode[] = [
  'INVALID_ARGUMENT',
  'SHAPE_MISMATCH',
  'INVALID_VALUE',
  'INFEASIBLE',
  'TOO_LARGE',
  'OUT_OF_MEMORY',
  'INTERNAL',
];

// An op's status arrives as text: "Invalid TF_Status: 3\nMessage: INFEASIBLE: problem 0: ...".
function translated(error: unknown): unknown {
  const [, status, message = ''] =
    /TF_Status: (\d+)\s*Message: ([\s\S]*)/.exec((error as Error).message) ?? [];
  if (status === undefined) return error;
  const code = opCodes.find((known) => message.startsWith(`${known}: `));
  if (code) return new PerceptionError(code, message.slice(code.length + 2), { cause: error });
  // One of TensorFlow's own: 3 is a bad argument, 8 a lack of memory.
  const own = status === '3' ? 'INVALID_VALUE' : status === '8' ? 'OUT_OF_MEMORY' : 'INTERNAL';
  return new PerceptionError(own, message, { cause: error });
}

function runKernel<T>(name: string, inputs: Inputs<TensorInfo>, attributes: object): T {
  return tf
    .engine()
    .runKernel(name, inputs as unknown as NamedTensorMap, attributes as NamedAttrMap) as unknown as T;
}

function mapInputs<T, U>(inputs: Inputs<T>, f: (input: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, f(input)]));
}

const dtypeOf = (values: Float32Array | Int32Array): 'float32' | 'int32' =>
  values instanceof Int32Array ? 'int32' : 'float32';

/** Makes sure that `kernel` is registered for the backend in use. */
function register<A extends object>(kernel: Kernel<A>): void {
  tf.backend(); // chooses one where none is in use yet
  const backendName = tf.getBackend();
  if (tf.getKernel(kernel.name, backendName)) return;
  tf.registerKernel({
    kernelName: kernel.name,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) => {
      const given = inputs as Inputs<TensorInfo>;
      const attributes = attrs as unknown as A;
      if (backendName === 'tensorflow' && tensorflowOps().registered) {
        const tensorflow = new Tensorflow(backend as TensorflowBackend);
        let outputs: TensorInfo[] = [];
        try {
          outputs = kernel.execute(tensorflow, given, attributes);
        } finally {
          tensorflow.dispose(outputs);
        }
        return outputs;
      }
      // The engine reads from whichever backend holds a tensor, without moving it.
      const engine = tf.engine();
      const read = mapInputs(given, ({ dataId, shape }) => ({
        values: engine.readSync(dataId as object) as Float32Array,
        shape,
      }));
      return runSync(kernel.call(read, attributes)).map(({ values, shape }) => {
        const dtype = dtypeOf(values);
        return {
          dataId: (backend as KernelBackend).write(values, [...shape], dtype),
          shape: [...shape],
          dtype,
        };
      });
    },
  });
}

/** A call with its arguments checked. */
export interface Problem<A extends object> {
  kernel: Kernel<A>;
  inputs: Inputs<Tensor>;
  attributes: A;
}

/**
 * Runs the kernel and records it for gradients, which are those registered for its name.
 * @throws PerceptionError
 */
export function runRecorded<A extends object>({ kernel, inputs, attributes }: Problem<A>): Tensor[] {
  register(kernel);
  return runKernel(kernel.name, inputs, attributes);
}

/**
 * Runs the kernel so that gradients stop here: what is recorded are its inputs' places in memory and not the tensors
 * themselves, so no path leads from a variable through this operation. (A gradient of zeros would not do. It would be
 * carried on to what the inputs were made of, where TensorFlow.js throws at an argMax, at the indices of a gather and at
 * other operations that have no gradient; sampled predictions and matching losses are made with these.)
 * @throws PerceptionError
 */
export function runDetached<A extends object>({ kernel, inputs, attributes }: Problem<A>): Tensor[] {
  register(kernel);
  const places = mapInputs(inputs, ({ dataId, shape, dtype }) => ({ dataId, shape, dtype }));
  return runKernel(kernel.name, places, attributes);
}

/**
 * Runs the operation off this thread on host memory, whatever the route. cpu, wasm and tensorflow give their values at
 * once, so the inputs may be disposed as soon as this returned its promise.
 * @throws PerceptionError
 */
export async function runOffThread<A extends object>(
  op: string,
  prepare: (args: TensorArguments) => Problem<A>,
): Promise<Tensor[]> {
  const args = new TensorArguments(op);
  try {
    const { kernel, inputs, attributes } = prepare(args);
    const read = await Promise.all(
      Object.entries(inputs).map(async ([name, tensor]): Promise<[string, HostTensor]> => {
        const { shape } = tensor;
        return [name, { values: (await tensor.data()) as Float32Array | Int32Array, shape }];
      }),
    );
    const outputs = await runAsync(kernel.call(Object.fromEntries(read), attributes));
    return outputs.map(({ values, shape }) => tf.tensor(values, [...shape], dtypeOf(values)));
  } finally {
    for (const tensor of args.created) tensor.dispose();
  }
}
