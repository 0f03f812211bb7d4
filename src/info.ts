import { readFileSync } from 'node:fs';
import { addonPath, binding, runSync } from './native/load.js';
import { wholeNumber } from './ops/validate.js';

export interface Info {
  /** Version of this package. */
  version: string;
  addon: { path: string; compiler: string };
  cpu: { variant: string; threads: number; hardwareThreads: number };
  cuda: CudaInfo;
}

export interface CudaInfo {
  available: boolean;
  /** Why it is not. */
  reason?: string;
  /** The plug-in's file, where one was loaded. */
  plugin?: string;
  /** What the plug-in was built with: "CUDA 13.0". */
  description?: string;
  devices: GpuInfo[];
  /** The memory of this process's DeviceTensors, those of all its threads. */
  tensors: { count: number; bytes: number };
}

export interface GpuInfo {
  index: number;
  name: string;
  /** "9.0" */
  computeCapability: string;
  multiprocessors: number;
  /** Bytes. */
  memory: number;
}

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** The version of this package, known also where the add-on cannot be loaded. */
export const packageVersion: string = version;

/** What runs here: versions, the add-on's file, threads, backends. @throws PerceptionError NATIVE_UNAVAILABLE */
export function info(): Info {
  const native = binding().info();
  const cuda = binding().cudaInfo();
  return {
    version,
    addon: { path: addonPath(), compiler: native.compiler },
    cpu: { variant: native.variant, threads: native.threads, hardwareThreads: native.hardwareThreads },
    cuda: {
      available: cuda.reason === '',
      ...(cuda.reason && { reason: cuda.reason }),
      ...(cuda.path && { plugin: cuda.path }),
      ...(cuda.description && { description: cuda.description }),
      devices: cuda.devices.map(({ name, major, minor, multiprocessors, memory }, index) => ({
        index,
        name,
        computeCapability: `${major}.${minor}`,
        multiprocessors,
        memory,
      })),
      tensors: { count: cuda.tensors, bytes: cuda.bytes },
    },
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
