import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Peer } from './peers.js';
import { mostThreads } from './workload.js';

/** What a worker answers; bench/peers/worker.py and worker.ts. */
export interface Reply {
  /** To the greeting: versions of packages, or why it cannot run. */
  versions?: string;
  absent?: string;
  /** To `load`: false where it does not do this. Its answer is a file of float64. */
  able?: boolean;
  answer?: string;
  /** To `load`: milliseconds of its second run, or where that would take over a second of its first. */
  first?: number;
  /** To `load`: how much of the workload a run does; times are told for the whole. */
  share?: number;
  /** To `run`. */
  times?: number[];
}

const minute = 60_000;

/** A peer at work in a process of its own, told by lines of JSON what to do. */
export class PeerProcess {
  private readonly lines: Interface;
  private readonly replies: AsyncIterator<string>;

  private constructor(
    readonly peer: Peer,
    private readonly child: ChildProcess,
  ) {
    this.lines = createInterface({ input: child.stdout! });
    this.replies = this.lines[Symbol.asyncIterator]();
  }

  /** Starts it; a text where it cannot run. */
  static async start(peer: Peer, root: string): Promise<PeerProcess | string> {
    const folder = join(root, 'build', 'peers');
    const [command, script] =
      peer.language === 'python'
        ? [
            join(folder, 'python', process.platform === 'win32' ? 'Scripts/python' : 'bin/python'),
            join(root, 'bench', 'peers', 'worker.py'),
          ]
        : [process.execPath, join(root, 'build', 'bench', 'bench', 'peers', 'worker.js')];
    const most = String(mostThreads);
    const child = spawn(command, [script, peer.module, peer.way ?? ''], {
      env: { ...process.env, OMP_NUM_THREADS: most, MKL_NUM_THREADS: most, NUMBA_NUM_THREADS: most },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const failed = new Promise<string>((resolve) => child.once('error', ({ message }) => resolve(message)));
    const started = new PeerProcess(peer, child);
    const greeting = await Promise.race([started.reply(2 * minute), failed]);
    if (typeof greeting === 'string' || greeting.absent !== undefined) {
      started.stop();
      return typeof greeting === 'string' ? greeting : greeting.absent!;
    }
    started.versions = greeting.versions ?? '';
    return started;
  }

  versions = '';

  /** Hands over what `writeWorkload` wrote. */
  load(folder: string, threads: number): Promise<Reply> {
    return this.ask({ load: folder, threads }, 5 * minute);
  }

  /** Runs for about `milliseconds`, once at least. */
  async run(milliseconds: number): Promise<number[]> {
    return (await this.ask({ run: milliseconds }, 5 * minute)).times!;
  }

  stop(): void {
    this.lines.close();
    this.child.kill();
  }

  private ask(message: object, timeout: number): Promise<Reply> {
    this.child.stdin!.write(`${JSON.stringify(message)}\n`);
    return this.reply(timeout);
  }

  private async reply(timeout: number): Promise<Reply> {
    const timer = setTimeout(() => this.child.kill(), timeout);
    const { value, done } = await this.replies.next();
    clearTimeout(timer);
    return done ? { absent: 'it ended' } : (JSON.parse(value) as Reply);
  }
}
