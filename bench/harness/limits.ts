import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Limit } from './workload.js';

const flags =
  '-std=c++20 -O3 -march=native -ffinite-math-only -fno-signed-zeros -fno-trapping-math -pthread'.split(' ');

/** What this machine can do at most, by native/bench/limits.cc. */
export class Limits {
  private constructor(private readonly program: string) {}

  /** Compiles the program; undefined where no compiler does. */
  static compile(root: string): Limits | undefined {
    const program = join(root, 'build', 'bench', 'limits');
    const source = join(root, 'native', 'bench', 'limits.cc');
    const { status } = spawnSync(process.env.CXX ?? 'c++', [...flags, source, '-o', program]);
    return status === 0 ? new Limits(program) : undefined;
  }

  /** Milliseconds. */
  measure({ kind, amount }: Limit, threads: number): number {
    const { stdout } = spawnSync(this.program, [kind, String(amount), String(threads)], { encoding: 'utf8' });
    return Number(stdout);
  }
}
