import { PerceptionError } from '../src/index.js';

/** The code of the PerceptionError that `body` throws, or of the promise it returns rejects with. */
export function codeOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof PerceptionError) return error.code;
    throw error;
  }
  return 'no error';
}

/** The same for a promise. */
export async function codeOfAsync(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no error',
    (error: unknown) =>
      codeOf(() => {
        throw error;
      }),
  );
}
