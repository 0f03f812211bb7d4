import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Limit } from './workload.js';

const flags =
  '-std=c++20 -O3 -march=native -ffinite-math-only -fno-signed-zeros -fno-trapping-math -pthread'.split(' ');

/** What this machine can do at most, by native/bench/limits.cc. */
export class Limits {
  /** The least that was measured of each. */
  private readonly least = new Map<string, number>();

  private constructor(private readonly program: string) {}

  /** Compiles the program; undefined where no compiler does. */
  static compile(root: string): Limits | undefined {
    const program = join(root, 'build', 'bench', 'limits');
    const source = join(root, 'native', 'bench', 'limits.cc');
    const { status } = spawnSync(process.env.CXX ?? 'c++', [...flags, source, '-o', program]);
    return status === 0 ? new Limits(program) : undefined;
  }

  /**
   * Milliseconds: the least since the first call for the same. Called several times in the course of a run, since a
   * machine is not as fast at every moment, and a limit taken at a slow one would be none.
   */
  measure({ kind, amount }: Limit, threads: number): number {
    const words = [kind, String(amount), String(threads)];
    const { stdout, status } = spawnSync(this.program, words, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`native/bench/limits.cc ended with ${status}`);
    const key = words.join(' ');
    const least = Math.min(Number(stdout), this.least.get(key) ?? Number.POSITIVE_INFINITY);
    this.least.set(key, least);
    return least;
  }
}
