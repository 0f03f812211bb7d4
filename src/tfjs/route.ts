import type { KernelBackend } from '@tensorflow/tfjs-core';
import * as tf from '@tensorflow/tfjs-core';
import type { Binding } from '../native/binding.js';
import { runSync } from '../native/load.js';

/** How the operations are carried out on the backend in use. */
export interface Route {
  /** The backend's name: 'cpu', 'wasm', 'tensorflow', ... */
  backend: string;
  /**
   * 'tensorflow': as TensorFlow ops on TensorFlow's own buffers. 'neutral': the tensors are read, handed to the add-on
   * and the results written back.
   */
  route: 'tensorflow' | 'neutral';
  /** Why this one. */
  reason: string;
  /** The libtensorflow that the ops are registered in. */
  library?: string;
  /** Why the ops have no kernels for GPU tensors, which TensorFlow then brings to the host for them. */
  gpuReason?: string;
}

/** @internal What is used of the backend of tfjs-node and tfjs-node-gpu. */
export interface TensorflowBackend extends KernelBackend {
  binding: { TF_ATTR_INT: number; TF_ATTR_BOOL: number };
  executeMultipleOutputs(
    op: string,
    attributes: readonly { name: string; type: number; value: number | boolean }[],
    inputs: readonly tf.TensorInfo[],
    outputs: number,
  ): tf.Tensor[];
}

type Registration = ReturnType<Binding['registerTensorflow']>;

let registration: Registration | undefined;

/** @internal Registers the TensorFlow ops on first use, unless PERCEPTION_R1_TENSORFLOW=0. */
export function tensorflowOps(): Registration {
  registration ??=
    process.env.PERCEPTION_R1_TENSORFLOW === '0'
      ? { registered: false, reason: 'PERCEPTION_R1_TENSORFLOW=0', library: '', gpuReason: '' }
      : runSync({ start: (native) => native.registerTensorflow(), finish: (result) => result });
  return registration;
}

/**
 * Which way the operations of this module go on TensorFlow.js's current backend, and why.
 *
 * @throws PerceptionError NATIVE_UNAVAILABLE
 * @example explainRoute() // { backend: 'cpu', route: 'neutral', reason: "backend 'cpu' holds its tensors in ..." }
 */
export function explainRoute(): Route {
  tf.backend(); // chooses one where none is in use yet
  const backend = tf.getBackend();
  if (backend !== 'tensorflow') {
    return { backend, route: 'neutral', reason: `backend '${backend}' does not run TensorFlow ops` };
  }
  const { registered, reason, library, gpuReason } = tensorflowOps();
  return registered
    ? {
        backend,
        route: 'tensorflow',
        reason: reason || 'the ops are registered in libtensorflow',
        library,
        ...(gpuReason && { gpuReason }),
      }
    : { backend, route: 'neutral', reason };
}
