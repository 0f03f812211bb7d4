import { spawnSync } from 'node:child_process';
import os from 'node:os';
import { info } from 'perception-r1';

/** What figures depend on. */
export interface Machine {
  date: string;
  cpu: string;
  hardwareThreads: number;
  memoryGiB: number;
  system: string;
  node: string;
  version: string;
  /** Of git, with a + where files were changed; left out where this is no clone. */
  commit?: string;
  compiler: string;
  /** The instruction set. */
  variant: string;
}

export function commitOf(folder: string): string | undefined {
  const git = (...args: string[]): string =>
    spawnSync('git', args, { cwd: folder, encoding: 'utf8' }).stdout?.trim() ?? '';
  const commit = git('rev-parse', '--short', 'HEAD');
  return commit && commit + (git('status', '--porcelain') ? '+' : '');
}

export function machine(folder: string): Machine {
  const { version, addon, cpu } = info();
  const commit = commitOf(folder);
  return {
    date: new Date().toISOString(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    hardwareThreads: cpu.hardwareThreads,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.arch()}`,
    node: process.version,
    version,
    ...(commit && { commit }),
    compiler: addon.compiler,
    variant: cpu.variant,
  };
}

/** Processes that wanted to run, over the last minute. */
export const load = (): number => Math.round(10 * os.loadavg()[0]!) / 10;
