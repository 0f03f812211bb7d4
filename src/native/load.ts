import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { type ErrorCode, PerceptionError } from '../errors.js';
import type { Binding, Result } from './binding.js';

const require = createRequire(import.meta.url);
const packageRoot = new URL('../../', import.meta.url);

/** Where the add-on may lie, in the order in which it is looked for. */
export function addonCandidates(): string[] {
  const forced = process.env.PERCEPTION_R1_ADDON;
  if (forced) return [forced];
  return [
    `prebuilds/${process.platform}-${process.arch}${isMusl() ? '-musl' : ''}/perception_r1.node`,
    'build/cmake/Release/perception_r1.node', // cmake-js
    'build/Release/perception_r1.node', // node-gyp
  ].map((path) => fileURLToPath(new URL(path, packageRoot)));
}

function isMusl(): boolean {
  if (process.platform !== 'linux') return false;
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime === undefined;
}

let loaded: { binding: Binding; path: string } | undefined;
let failure: PerceptionError | undefined;

function load(): { binding: Binding; path: string } {
  if (loaded) return loaded;
  if (failure) throw failure;
  const tried: string[] = [];
  for (const path of addonCandidates()) {
    if (!existsSync(path)) {
      tried.push(`  ${path}: not there`);
      continue;
    }
    try {
      loaded = { binding: require(path) as Binding, path };
      return loaded;
    } catch (error) {
      tried.push(`  ${path}: ${(error as Error).message}`);
    }
  }
  const root = fileURLToPath(packageRoot);
  failure = new PerceptionError(
    'NATIVE_UNAVAILABLE',
    [
      `The native add-on of perception-r1 could not be loaded on ${process.platform}-${process.arch}, Node ${process.versions.node}.`,
      'Tried:',
      ...tried,
      'What to do:',
      '  - in a clone of the project: npm run build:native',
      `  - installed from npm, with a C++20 compiler and CMake: npm install --no-save cmake-js node-addon-api node-api-headers && npx cmake-js compile --directory "${root}" --out "${root}build/cmake"`,
      '  - or set PERCEPTION_R1_ADDON to the path of a perception_r1.node built elsewhere',
    ].join('\n'),
  );
  throw failure;
}

/** The add-on, loaded on first use. @throws PerceptionError NATIVE_UNAVAILABLE */
export function binding(): Binding {
  return load().binding;
}

/** The file the add-on was loaded from. @throws PerceptionError NATIVE_UNAVAILABLE */
export function addonPath(): string {
  return load().path;
}

/** Errors of the add-on carry a code and come out as PerceptionError, with the caller's stack. */
function translate(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof PerceptionError) return error;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' ? new PerceptionError(code as ErrorCode, error.message) : error;
}

/**
 * One call into the add-on: `start` with the inputs checked and the outputs allocated, `finish` to make the result,
 * `release` to be run whatever happens.
 */
export interface Call<N, T> {
  start(native: Binding, async: boolean): Result<N>;
  finish(result: N): T;
  release?(): void;
}

/** Runs `call` on this thread (and the pool). */
export function runSync<N, T>(call: Call<N, T>): T {
  try {
    return call.finish(call.start(binding(), false) as N);
  } catch (error) {
    throw translate(error);
  } finally {
    call.release?.();
  }
}

/** Runs `call` on a worker. */
export async function runAsync<N, T>(call: Call<N, T>): Promise<T> {
  try {
    return call.finish(await call.start(binding(), true));
  } catch (error) {
    throw translate(error);
  } finally {
    call.release?.();
  }
}
