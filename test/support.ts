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

/** Runs `work`, and counts how often the event loop goes round until it is done. */
export async function turnsDuring<T>(work: () => Promise<T>): Promise<{ result: T; turns: number }> {
  let turns = 0;
  let running = true;
  const turn = (): void => {
    turns++;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  try {
    const result = await work();
    return { result, turns };
  } finally {
    running = false;
  }
}
