import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Reply, Task } from './worker.js';

/** A build at work in a process of its own. */
export class Side {
  private constructor(
    private readonly child: ChildProcess,
    readonly version: string,
    readonly compiler: string,
    readonly variant: string,
  ) {}

  /** @throws Error where the folder has no build that loads */
  static async start(folder: string): Promise<Side> {
    const child = fork(fileURLToPath(new URL('./worker.js', import.meta.url)), [folder]);
    const { version, compiler, variant } = (await reply(child)) as Extract<Reply, { version: string }>;
    // Both builds on the same processor, where this program can put them there: even alike ones differ in speed.
    spawnSync('taskset', ['-cp', '0', String(child.pid)]);
    return new Side(child, version, compiler, variant);
  }

  load(kernel: string, size: number): Promise<Extract<Reply, { answer: number[] }>> {
    return this.ask({ kernel, size }) as ReturnType<Side['load']>;
  }

  /** Runs for about `milliseconds`, once at least. */
  run(milliseconds: number): Promise<Extract<Reply, { least: number }>> {
    return this.ask({ run: milliseconds }) as ReturnType<Side['run']>;
  }

  stop(): void {
    this.child.kill();
  }

  private ask(task: Task): Promise<Reply> {
    this.child.send(task);
    return reply(this.child);
  }
}

function reply(child: ChildProcess): Promise<Exclude<Reply, { failed: string }>> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null, signal: string | null): void =>
      reject(new Error(`the process ended with ${signal ?? code}`));
    child.once('exit', ended);
    child.once('message', (message: Reply) => {
      child.off('exit', ended);
      if ('failed' in message) reject(new Error(message.failed));
      else resolve(message);
    });
  });
}
