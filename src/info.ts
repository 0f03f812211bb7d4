import { readFileSync } from 'node:fs';
import { addonPath, binding, runSync } from './native/load.js';
import { wholeNumber } from './ops/validate.js';

export interface Info {
  /** Version of this package. */
  version: string;
  addon: { path: string; compiler: string };
  cpu: { variant: string; threads: number; hardwareThreads: number };
  cuda: { available: boolean; reason?: string; devices: string[] };
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** The version of this package, known also where the add-on cannot be loaded. */
export const packageVersion: string = version;

/** What runs here: versions, the add-on's file, threads, backends. @throws PerceptionError NATIVE_UNAVAILABLE */
export function info(): Info {
  const native = binding().info();
  return {
    version,
    addon: { path: addonPath(), compiler: native.compiler },
    cpu: { variant: native.variant, threads: native.threads, hardwareThreads: native.hardwareThreads },
    cuda: { available: false, reason: 'this version has no CUDA backend', devices: [] },
  };
}

/**
 * Sets how many threads batch functions use in this process, the calling one included (at the start:
 * PERCEPTION_R1_THREADS, else all processors). Results do not depend on it.
 * @throws PerceptionError INVALID_ARGUMENT
 */
export function setThreads(threads: number): void {
  wholeNumber(threads, 'threads', 1, 1024);
  runSync<void, void>({ start: (native) => native.setThreads(threads), finish: () => {} });
}
